"""The auditor's questions as commands: what `flows.audit` answers, for people or as JSON. Offline; changes nothing.

The lineage index is derived, and is brought up to date with the records first.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import RenderableType

from evaluation.base import Record
from flows.answers import print_json
from flows.commands import audit_findings as findings
from flows.commands import audit_tables as tables
from flows.environment import STATE_VARIABLE, state_dir
from flows.git import find_checkout
from worldmodel.errors import WorkspaceError

if TYPE_CHECKING:
    from flows.audit.books import Books

EXIT_NOT_DISJOINT = 3

Answer = TypeVar("Answer", bound=Record)


def champion(name: str | None, *, history: bool, at: str | None, as_json: bool) -> int:
    """Who is champion, since when, by whose hand and on what evidence.

    Raises:
        RecordError: nothing is recorded yet, or there is no such model.
    """
    from flows.audit.champion import champion as ask

    _answer(lambda books: ask(books, name), lambda found: tables.champion_parts(found, history), at, as_json)
    return 0


def trace(model: str, *, logs: bool, at: str | None, as_json: bool) -> int:
    """What a model was made from; with `logs`, the ids of its logs. Raises as `champion` does."""
    from flows.audit.trace import trace as ask

    _answer(lambda books: ask(books, model, logs=logs), tables.trace_parts, at, as_json)
    return 0


def impact(what: str, *, at: str | None, as_json: bool) -> int:
    """Which models saw some data or weights. Raises as `champion` does."""
    from flows.audit.impact import impact as ask

    _answer(lambda books: ask(books, what), tables.impact_parts, at, as_json)
    return 0


def disjoint(model: str, *, at: str | None, as_json: bool) -> int:
    """Whether a model was measured on logs that its training never read; 3 if that is not so. Raises as above."""
    from flows.audit.disjoint import disjoint as ask

    found = _answer(lambda books: ask(books, model), tables.disjoint_parts, at, as_json)
    return 0 if found.verdict == "disjoint" else EXIT_NOT_DISJOINT


def validations(what: str, *, at: str | None, as_json: bool) -> int:
    """Which validations ran on data, and what they found. Raises as `champion` does."""
    from flows.audit.validations import validations as ask

    _answer(lambda books: ask(books, what), findings.validations_parts, at, as_json)
    return 0


def diff(a: str, b: str, *, at: str | None, as_json: bool) -> int:
    """What differs from A to B, models or runs. Raises as `champion` does."""
    from flows.audit.differences import differences

    _answer(lambda books: differences(books, a, b), findings.diff_parts, at, as_json)
    return 0


def rejected(name: str | None, *, at: str | None, as_json: bool) -> int:
    """Every candidate that the gate refused, and how its limits changed. Raises as `champion` does."""
    from flows.audit.rejected import rejected as ask

    _answer(lambda books: ask(books, name), findings.rejected_parts, at, as_json)
    return 0


def tombstones(*, at: str | None, as_json: bool) -> int:
    """What retention deleted. Raises as `champion` does."""
    from flows.audit.tombstones import tombstones as ask

    _answer(ask, findings.tombstones_parts, at, as_json)
    return 0


def _answer(
    ask: "Callable[[Books], Answer]",
    show: Callable[[Answer], Iterable[RenderableType]],
    at: str | None,
    as_json: bool,
) -> Answer:
    """Puts a question to the books here, and prints the answer."""
    with _books(at) as books:
        found, moment = ask(books), books.at
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        tables.show(show(found), moment)
    return found


@contextmanager
def _books(at: str | None) -> "Iterator[Books]":
    """The books of the checkout around the current folder, or of `$WORLDMODEL_STATE` where there is none."""
    from flows.audit.books import open_books

    checkout: Path | None = None
    try:
        checkout = find_checkout(Path.cwd())
    except WorkspaceError:
        if not os.environ.get(STATE_VARIABLE):
            raise
    state = state_dir(checkout or Path.cwd())
    with open_books(state, checkout, at, lambda text: print(text, file=sys.stderr)) as books:
        yield books
