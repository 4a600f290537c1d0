"""The command `gc`: deletes what no kept run needs, after the ledger was told."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout
from worldmodel.errors import LedgerError, ParamsError

if TYPE_CHECKING:
    from flows.retention.rule import Place, Plan, Rule
    from flows.retention.sweep import Swept
    from flows.signing.keys import SigningKey

_WIDTH, _SHOWN = 80, 20


def gc(rule: "Rule", *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Shows what a rule lets go, and deletes it: tombstones first, the ledger anchored in the end.

    Args:
        rule: which runs are kept.
        dry_run: only show it.
        yes: do not ask; needed where nobody can be asked.
        as_json: one document on standard output, with every item.

    Returns:
        0; 1 where somebody was asked, and said no.

    Raises:
        ParamsError: nobody can be asked, and `yes` is not given.
        LedgerError: nothing was recorded yet, or the ledger does not answer.
        SigningError: the key may not sign for this ledger.
        WorkspaceError: another gc is at work, git failed, or something cannot be deleted.
    """
    from flows.retention.locks import alone
    from flows.retention.plan import make_plan

    console = Console(stderr=as_json, highlight=False, width=_WIDTH)
    with _opened() as place, nullcontext() if dry_run else alone(place.state):
        key = None if dry_run else _key(place)
        plan = make_plan(place, rule)
        if not as_json or not (dry_run or yes):
            _print_plan(console, plan)
        if key is None:
            return _finish(plan, None, console, as_json=as_json)
        if plan.items and not yes:
            if not _agreed(plan, as_json):
                console.print("nothing was deleted")
                return 1
            plan = plan.only(make_plan(place, rule))  # what began to be needed while somebody thought stays
        return _finish(plan, _swept(place, plan, key), console, as_json=as_json)


@contextmanager
def _opened() -> "Iterator[Place]":
    from flows.ledger.store import Ledger, ledger_url
    from flows.lineage.records import RECORDS_FOLDER, Records
    from flows.retention.rule import Place

    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout).resolve()  # below it, links are left alone
    nothing = LedgerError(f"{state}: nothing is recorded yet", fix="worldmodel run")
    if not state.is_dir():
        raise nothing
    ledger = Ledger.open(ledger_url(state))
    try:
        if ledger.head() is None:
            raise nothing
        yield Place(checkout, state, ledger, Records(state / RECORDS_FOLDER))
    finally:
        ledger.close()


def _key(place: "Place") -> "SigningKey":
    from flows.ledger.trust import ensure_trusted
    from flows.signing.keys import actor, signing_key

    key = signing_key()
    ensure_trusted(place.ledger, key, actor())
    return key


def _swept(place: "Place", plan: "Plan", key: "SigningKey") -> "Swept":
    from flows.retention.sweep import sweep
    from flows.signing.keys import actor

    return sweep(place, plan, key, actor())


def _agreed(plan: "Plan", as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        raise ParamsError("nobody can be asked whether to delete this", fix="say so beforehand: --yes, or --dry-run")
    return input(f"Delete {_megabytes(plan.bytes)} MB? [y/N] ").strip().lower() in ("y", "yes")


def _finish(plan: "Plan", swept: "Swept | None", console: Console, *, as_json: bool) -> int:
    if as_json:
        print_json(_document(plan, swept))
    elif swept is None:
        console.print(f"would free {_megabytes(plan.bytes)} MB; nothing was changed")
    else:
        for note in swept.notes:
            console.print(f"[yellow]{escape(note)}[/]")
        console.print(f"{len(swept.items):,} things are deleted, {_megabytes(swept.bytes)} MB: {_tombstones(swept)}")
    return 0


def _tombstones(swept: "Swept") -> str:
    if not swept.entries:
        return "their tombstones were there already" if swept.items else "nothing was to do"
    first, last = swept.entries[0], swept.entries[-1]
    where = f"entry {first}" if first == last else f"entries {first} to {last}"
    return f"{where} of the ledger (worldmodel audit tombstones)"


def _document(plan: "Plan", swept: "Swept | None") -> dict[str, Any]:
    hidden = {"changed", "lock", "told"}
    items = plan.items if swept is None else swept.items
    return {
        "rule": plan.rule,
        "dry_run": swept is None,
        "bytes": sum(item.bytes for item in items),
        "items": [item.model_dump(exclude=hidden) for item in items],
        "stays": [stays.model_dump() for stays in plan.stays],
        "kept": [run.model_dump() for run in plan.kept],
        "notes": [*plan.notes, *(swept.notes if swept else [])],
        "entries": swept.entries if swept else [],
    }


def _print_plan(console: Console, plan: "Plan") -> None:
    going: dict[tuple[str, str], list[int]] = {}
    for item in plan.items:
        going.setdefault((item.kind, item.why), []).append(item.bytes)
    rows = [(kind, why, len(sizes), sum(sizes)) for (kind, why), sizes in sorted(going.items())]
    console.print(_amounts("goes", rows) if rows else "nothing goes")
    if plan.stays:
        console.print(_amounts("stays", [(stays.kind, stays.why, stays.items, stays.bytes) for stays in plan.stays]))
    runs = _table("kept run", "why")
    for run in plan.kept[:_SHOWN]:
        runs.add_row(run.run_id, escape("; ".join(run.why)))
    if plan.kept:
        console.print(runs)
    if plan.kept[_SHOWN:]:
        console.print(f"and {len(plan.kept) - _SHOWN} more: --json")
    for note in plan.notes:
        console.print(f"[yellow]{escape(note)}[/]")


def _amounts(title: str, rows: Iterable[tuple[str, str, int, int]]) -> Table:
    table = _table(title, "", "MB", "why")
    table.columns[1].justify = table.columns[2].justify = "right"
    for kind, why, number, size in rows:
        table.add_row(kind, f"{number:,}", _megabytes(size), escape(why))
    return table


def _table(*columns: str) -> Table:
    """A table whose last column takes what is left of the line."""
    table = Table(box=None, header_style="bold", pad_edge=False, width=_WIDTH)
    for name in columns:
        is_last = name == columns[-1]
        table.add_column(name, no_wrap=not is_last, overflow="fold", ratio=1 if is_last else None)
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
