"""One entry of the ledger, and how entries hang together.

`hash` is sha256 of the canonical JSON of [sequence, time, actor, kind, body_sha256, previous]; `body_sha256` is of the
canonical JSON of the body. So an evidence pack may leave out the bodies that are not its business, and its reader can
still check the whole chain. The first entry's `previous` is 64 zeros.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from evaluation.base import Record, fingerprint

GENESIS = "0" * 64
Kind = Literal[
    "key.trusted",
    "key.revoked",
    "run.recorded",
    "model.registered",
    "promotion.intended",
    "promotion.completed",
    "promotion.abandoned",
    "alias.observed",
    "approval.recorded",
    "data.recalled",
    "data.reinstated",
    "champion.flagged",
    "retraining.proposed",
    "retention.deleted",
    "clock.behind",
    "ledger.restored",
]
KINDS: tuple[str, ...] = get_args(Kind)


class Entry(Record):
    """What was recorded, when, by whom, and the hash of the entry before.

    Attributes:
        sequence: 1, 2, 3, ... without a gap.
        time: ISO 8601 in UTC with microseconds (`2026-01-31T23:59:59.000000Z`), never before that of the entry before.
        actor: who acted (`flows.signing.keys.actor`).
        body: as `flows.ledger.bodies` has it for the kind; None where a pack leaves it out.
    """

    sequence: int
    time: str
    actor: str
    kind: str
    body: dict[str, Any] | None
    body_sha256: str
    previous: str
    hash: str


def entry_hash(sequence: int, time: str, actor: str, kind: str, body_sha256: str, previous: str) -> str:
    """The hash of an entry."""
    return fingerprint([sequence, time, actor, kind, body_sha256, previous])


def next_entry(last: Entry | None, time: str, actor: str, kind: Kind, body: Mapping[str, Any]) -> Entry:
    """The entry after `last` (None: the first). `time` must not be before that of `last`."""
    sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
    body_sha256 = fingerprint(dict(body))
    return Entry(
        sequence=sequence,
        time=time,
        actor=actor,
        kind=kind,
        body=dict(body),
        body_sha256=body_sha256,
        previous=previous,
        hash=entry_hash(sequence, time, actor, kind, body_sha256, previous),
    )
