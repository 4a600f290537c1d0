"""The bodies of entries as what they are."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import ValidationError

from evaluation.base import Record
from flows.ledger.bodies import KIND_OF
from flows.ledger.entry import Entry
from worldmodel.errors import LedgerError

Body = TypeVar("Body", bound=Record)


def bodies(entries: Iterable[Entry], kind: type[Body]) -> Iterator[tuple[Entry, Body]]:
    """The entries with a body of one kind, each with its body.

    Raises:
        LedgerError: a body is not what its kind says; names the entry.
    """
    name = KIND_OF[kind]
    for entry in entries:
        if entry.kind == name and entry.body is not None:
            yield entry, body_of(entry, kind)


def body_of(entry: Entry, kind: type[Body]) -> Body:
    """An entry's body. Raises as `bodies` does."""
    try:
        return kind.model_validate(entry.body)
    except ValidationError as error:
        raise LedgerError(
            f"entry {entry.sequence} of the ledger is not what its kind {entry.kind} says",
            expected=", ".join(kind.model_fields),
            got="; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())[:300],
            fix="worldmodel audit verify says whether it was altered; a newer version may have written it",
        ) from None
