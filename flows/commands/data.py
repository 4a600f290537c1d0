"""The commands below `data`: `recall`, `reinstate` and `recalls`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout
from worldmodel.errors import ParamsError

if TYPE_CHECKING:
    from flows.audit.books import Books
    from flows.recall import Affected, RecallOutcome, What
    from flows.signing.keys import SigningKey

LOCAL_PATHS_FILE = "sources.local.json"


def recall_data(id: str, reason: str, *, clip: bool, unknown: bool, yes: bool, as_json: bool) -> int:
    """Takes a log or clip out of use, flags the champions that saw it, and anchors the ledger.

    Args:
        id: of a log, or of a clip with `clip`.
        reason: why.
        clip: whether it is a clip.
        unknown: take an id that no recorded dataset holds.
        yes: do not ask; needed where nobody can be asked.
        as_json: one document on standard output.

    Raises:
        RecordError: the id is unknown; names those that are spelt alike.
        ParamsError: nobody can be asked, and `yes` is not given.
        SigningError: the key may not sign for this ledger.
    """
    from flows.recall import affected, recall, require_known
    from flows.signing.keys import actor

    what: What = "clip" if clip else "log"
    console = Console(stderr=as_json, highlight=False)
    with _books_to_write(console) as (books, key):
        if not unknown:
            require_known(books, what, id)
        if not yes:
            _print_affected(console, affected(books, what, id), f"{what} {id}")
            if not _agreed(f"Recall {what} {id}?", as_json):
                console.print("nothing was recorded")
                return 1
        outcome = recall(books, what, id, reason, actor())
        _anchor(books, key, outcome)
        commands = _commands(books, outcome.flagged)
    if as_json:
        print_json(outcome.model_dump(mode="json") | {"retraining": commands})
        return 0
    if yes:
        _print_affected(console, outcome.affected, f"{what} {id}")
    _conclude(console, outcome, commands)
    return 0


def reinstate_data(id: str, reason: str, *, clip: bool, as_json: bool) -> int:
    """Takes a recall back, and anchors the ledger. Raises as `recall_data` does."""
    from flows.recall import reinstate
    from flows.signing.keys import actor

    console = Console(stderr=as_json, highlight=False)
    with _books_to_write(console) as (books, key):
        outcome = reinstate(books, "clip" if clip else "log", id, reason, actor())
        _anchor(books, key, outcome)
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    elif outcome.changed:
        console.print(f"{outcome.what} {escape(id)} is reinstated: the next prepare takes it again")
    else:
        console.print(f"{outcome.what} {escape(id)} is not recalled: nothing changes")
    return 0


def list_recalls(at: str | None, *, as_json: bool) -> int:
    """Prints what is recalled, now or at a time (`flows.stores.parse_time`)."""
    from flows.audit.books import open_books
    from flows.recall import recalls

    checkout = find_checkout(Path.cwd())
    console = Console(stderr=as_json, highlight=False)
    with open_books(state_dir(checkout), checkout, at, console.print) as books:
        found, moment = recalls(books), books.at
    if as_json:
        print_json({"at": moment, "recalls": [one.model_dump(mode="json") for one in found]})
    elif found:
        table = _table("", "id", "since", "by", "reason")
        for one in found:
            table.add_row(one.what, escape(one.id), one.time[:19], escape(one.actor), escape(one.reason))
        console.print(table)
    else:
        console.print("nothing is recalled" if moment is None else f"nothing was recalled at {moment}")
    return 0


@contextmanager
def _books_to_write(console: Console) -> "Iterator[tuple[Books, SigningKey]]":
    """The books, and a key that may sign the ledger's head."""
    from flows.audit.books import open_books
    from flows.ledger.trust import ensure_trusted
    from flows.signing.keys import actor, signing_key

    checkout = find_checkout(Path.cwd())
    with open_books(state_dir(checkout), checkout, say=console.print) as books:
        key = signing_key()
        ensure_trusted(books.ledger, key, actor())
        yield books, key


def _anchor(books: "Books", key: "SigningKey", outcome: "RecallOutcome") -> None:
    from flows.ledger.anchors import anchor

    if outcome.changed and books.checkout is not None:
        anchor(books.checkout, books.ledger, key)


def _agreed(question: str, as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        raise ParamsError("nobody can be asked whether to go on", fix="say so beforehand: --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _commands(books: "Books", flagged: "tuple[Affected, ...]") -> dict[str, str | None]:
    """How to train each flagged champion anew, with the places of this machine, by model."""
    from flows.recall import retraining
    from worldmodel.data.sources import read_local_paths

    paths = read_local_paths(books.state / LOCAL_PATHS_FILE)
    return {str(model): retraining(books, model.run_id, paths) for model in flagged}


def _print_affected(console: Console, found: "tuple[Affected, ...]", subject: str) -> None:
    if not found:
        console.print(f"no registered model has seen {escape(subject)}")
        return
    table = _table("model", "", "train", "val", "test", "made by run")
    table.title = f"have seen {escape(subject)} (clips)"
    for model in found:
        counts = [str(model.splits.get(split, "-")) for split in ("train", "val", "test")]
        table.add_row(escape(str(model)), "champion" if model.champion else "", *counts, model.run_id)
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, title_justify="left", width=80)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _conclude(console: Console, outcome: "RecallOutcome", commands: dict[str, Any]) -> None:
    subject = escape(f"{outcome.what} {outcome.id}")
    if outcome.standing is not None:
        since = f"since {outcome.standing.time[:19]} ({escape(outcome.standing.reason)})"
        console.print(f"{subject} is recalled already, {since}: nothing changes", soft_wrap=True)
        return
    console.print(f"{subject} is recalled: the next prepare leaves it out", soft_wrap=True)
    for model, command in commands.items():
        console.print(f"[yellow]{escape(model)} is champion and has seen it[/]: flagged. To train it anew:")
        console.print(f"  {escape(command or 'worldmodel run')}", soft_wrap=True)
