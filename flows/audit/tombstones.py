"""Question 10: what retention deleted, when, by whose hand and under which rule."""

from collections import Counter

from evaluation.base import Record
from flows.audit.books import Books
from flows.ledger.bodies import Deleted, RetentionDeleted
from flows.ledger.standing import bodies


class Tombstone(Record):
    """One round of deleting; `counts` are items by kind, `bytes` their sizes together."""

    sequence: int
    time: str
    actor: str
    rule: str
    counts: dict[str, int]
    bytes: int
    items: tuple[Deleted, ...]


class Tombstones(Record):
    """The answer; `at` is the time that it is about, None: now."""

    at: str | None
    tombstones: tuple[Tombstone, ...]


def tombstones(books: Books) -> Tombstones:
    """Everything that retention deleted, in order."""
    found = []
    for entry, body in bodies(books.entries("retention.deleted"), RetentionDeleted):
        found.append(
            Tombstone(
                sequence=entry.sequence,
                time=entry.time,
                actor=entry.actor,
                rule=body.rule,
                counts=dict(sorted(Counter(item.kind for item in body.items).items())),
                bytes=sum(item.bytes for item in body.items),
                items=body.items,
            )
        )
    return Tombstones(at=books.at, tombstones=tuple(found))
