"""What the ledger says stands: who is champion, what is recalled, whom to trust. Pure folds over entries in order.

Entries whose body a pack leaves out are passed over.
"""

from collections.abc import Iterable, Iterator

from evaluation.base import Record
from flows.ledger.bodies import (
    KIND_OF,
    ApprovalRecorded,
    ChampionFlagged,
    DataRecalled,
    DataReinstated,
    ModelRegistered,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
)
from flows.ledger.entry import Entry
from flows.ledger.keys import TrustedKey as TrustedKey
from flows.ledger.keys import trusted_keys as trusted_keys
from flows.ledger.reading import bodies as bodies
from flows.ledger.reading import body_of as body_of


class Standing(Record):
    """A version that was made champion.

    Attributes:
        since, sequence: of the entry that says its promotion was completed.
        intent: what was intended, and why.
        by: who intended it.
    """

    name: str
    version: str
    model_sha256: str
    since: str
    sequence: int
    intent: PromotionIntended
    by: str


class Recall(Record):
    """A log or clip that may not be used, since when and why."""

    what: str
    id: str
    reason: str
    time: str
    sequence: int
    actor: str


def champions(entries: Iterable[Entry]) -> dict[str, Standing]:
    """The champion of every model that has one."""
    return {standing.name: standing for standing in _standings(entries)}


def history(entries: Iterable[Entry], name: str) -> list[Standing]:
    """Every champion that a model has had, oldest first."""
    return [standing for standing in _standings(entries) if standing.name == name]


def _standings(entries: Iterable[Entry]) -> Iterator[Standing]:
    intents: dict[str, tuple[Entry, PromotionIntended]] = {}
    for entry in entries:
        if entry.body is None:
            continue
        if entry.kind == KIND_OF[PromotionIntended]:
            body = body_of(entry, PromotionIntended)
            intents[body.promotion] = (entry, body)
        elif entry.kind == KIND_OF[PromotionCompleted]:
            done = body_of(entry, PromotionCompleted)
            if done.promotion in intents:
                began, intent = intents.pop(done.promotion)
                yield Standing(
                    name=intent.name,
                    version=intent.version,
                    model_sha256=intent.model_sha256,
                    since=entry.time,
                    sequence=entry.sequence,
                    intent=intent,
                    by=began.actor,
                )


def open_intents(entries: Iterable[Entry], name: str | None = None) -> list[tuple[Entry, PromotionIntended]]:
    """Promotions (of one model, or of all) that were neither completed nor abandoned, oldest first."""
    found: dict[str, tuple[Entry, PromotionIntended]] = {}
    for entry in entries:
        if entry.body is None:
            continue
        if entry.kind == KIND_OF[PromotionIntended]:
            intent = body_of(entry, PromotionIntended)
            if name is None or intent.name == name:
                found[intent.promotion] = (entry, intent)
        elif entry.kind in (KIND_OF[PromotionCompleted], KIND_OF[PromotionAbandoned]):
            found.pop(str(entry.body.get("promotion")), None)
    return list(found.values())


def registered(entries: Iterable[Entry]) -> dict[tuple[str, str], ModelRegistered]:
    """Every registered version by model and number."""
    return {(body.name, body.version): body for _, body in bodies(entries, ModelRegistered)}


def recalled(entries: Iterable[Entry]) -> dict[tuple[str, str], Recall]:
    """What is recalled and was not reinstated since, by what (`log`, `clip`) and id."""
    found: dict[tuple[str, str], Recall] = {}
    for entry in entries:
        if entry.body is None:
            continue
        if entry.kind == KIND_OF[DataRecalled]:
            body = body_of(entry, DataRecalled)
            made = {"time": entry.time, "sequence": entry.sequence, "actor": entry.actor}
            found[(body.what, body.id)] = Recall.model_validate({**body.model_dump(), **made})
        elif entry.kind == KIND_OF[DataReinstated]:
            back = body_of(entry, DataReinstated)
            found.pop((back.what, back.id), None)
    return found


def flags(entries: Iterable[Entry]) -> dict[str, list[ChampionFlagged]]:
    """What champions were flagged for, by the digest of the model."""
    found: dict[str, list[ChampionFlagged]] = {}
    for _, body in bodies(entries, ChampionFlagged):
        found.setdefault(body.model_sha256, []).append(body)
    return found


def standing_flags(entries: Iterable[Entry]) -> dict[str, list[ChampionFlagged]]:
    """What champions were flagged for and is recalled still, by the digest of the model: the newest flag for each."""
    known = list(entries)
    still = {f"{what} {id}" for what, id in recalled(known)}
    newest = {sha256: {flag.recalled: flag for flag in found} for sha256, found in flags(known).items()}
    standing = {sha256: [flag for flag in found.values() if flag.recalled in still] for sha256, found in newest.items()}
    return {sha256: found for sha256, found in standing.items() if found}


def approvals(entries: Iterable[Entry], model_sha256: str) -> list[tuple[Entry, ApprovalRecorded]]:
    """Approvals and rejections of a model, oldest first; their signatures are for `flows.signing.dsse` to verify."""
    return [(entry, body) for entry, body in bodies(entries, ApprovalRecorded) if body.model_sha256 == model_sha256]
