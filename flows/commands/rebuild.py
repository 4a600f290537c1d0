"""`worldmodel audit rebuild`."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout
from worldmodel.errors import Preempted

if TYPE_CHECKING:
    from flows.audit.rebuilt import Rebuilt, StageRebuilt

EXIT_TERMINATED = 143
_SHOWN, _DIGITS = 8, 12


def rebuild_model(spec: str, until: str | None, *, keep: bool, as_json: bool) -> int:
    """Makes a model again from the records of its run, and compares.

    Args:
        spec: `NAME`, `NAME/3`, `NAME@champion`, a digest or a run (`flows.audit.books.find_model`).
        until: the last stage to make; None: all that the model comes from.
        keep: leave the workspace.
        as_json: one document on standard output.

    Returns:
        0: identical, or not told apart by measurement; 3: another model; 143: stopped, and a second call goes on.
    """
    from flows.audit.books import find_model, open_books
    from flows.audit.rebuild import rebuild
    from flows.console import ConsoleReporter

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # the stage saves first
    checkout = find_checkout(Path.cwd())
    console = Console(stderr=as_json, highlight=False)
    try:
        with (
            open_books(state_dir(checkout), checkout, say=console.print) as books,
            ConsoleReporter(console) as reporter,
        ):
            found = rebuild(books, find_model(books, spec), reporter, until, keep=keep)
    except Preempted:
        console.print("stopped; the same command goes on from here")
        return EXIT_TERMINATED
    if as_json:
        print_json(_document(found))
    else:
        _print(console, found)
    return found.exit_code


def _document(found: "Rebuilt") -> dict[str, object]:
    first = found.first_difference
    stages = [stage.model_dump(mode="json") | {"identical": stage.identical} for stage in found.stages]
    derived = {
        "stages": stages,
        "first_difference": None if first is None else first.stage,
        "verdict": found.verdict,
        "sentence": found.sentence,
    }
    return found.model_dump(mode="json") | derived


def _print(console: Console, found: "Rebuilt") -> None:
    console.print(_stages(found))
    if (first := found.first_difference) is not None:
        console.print(f"\n[bold]{first.stage}[/] is the first stage that differs:")
        console.print(_files(first))
        _print_surroundings(console, found)
    _print_measured(console, found)
    model = f"{found.name} version {found.version}, {found.model_sha256[:16]}"
    if found.rebuilt_sha256 is not None and found.rebuilt_sha256 != found.model_sha256:
        model += f"; rebuilt {found.rebuilt_sha256[:16]}"
    console.print(f"\n{escape(model)}\n[bold]{found.sentence}[/]", soft_wrap=True)
    if found.workspace is not None:
        console.print(found.workspace, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, width=80)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _stages(found: "Rebuilt") -> Table:
    table = _table("stage", "recorded", "rebuilt", "took then", "now")
    for stage in found.stages:
        rebuilt = "the same" if stage.identical else f"[yellow]{stage.rebuilt[:_DIGITS]}[/]"
        times = [_seconds(stage.seconds_recorded), _seconds(stage.seconds)]
        table.add_row(stage.stage, stage.recorded[:_DIGITS], rebuilt, *times)
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _files(stage: "StageRebuilt") -> Table:
    table = _table("file", "recorded", "rebuilt")
    for file in stage.files[:_SHOWN]:
        table.add_row(
            escape(file.path), *((sha256 or "not there")[:_DIGITS] for sha256 in (file.recorded, file.rebuilt))
        )
    if len(stage.files) > _SHOWN:
        table.add_row(f"and {len(stage.files) - _SHOWN} more", "", "")
    return table


def _print_surroundings(console: Console, found: "Rebuilt") -> None:
    if not found.surroundings_known:
        console.print("where it was made is in no record, so what differs here cannot be said")
    elif not found.surroundings:
        console.print("nothing that is recorded of the machine and its packages differs here")
    else:
        table = _table("differs", "recorded", "here")
        for fact in found.surroundings:
            table.add_row(*(escape(text or "none") for text in (fact.fact, fact.recorded, fact.here)))
        console.print(table)


def _print_measured(console: Console, found: "Rebuilt") -> None:
    if found.measured is None:
        return
    of = found.measured
    if of.why_not is not None:
        console.print(f"it could not be compared by measurement: {escape(of.why_not)}", soft_wrap=True)
        return
    console.print(f"measured: {of.compared} differences, {of.judged} with an interval, {of.left_out} left out")
    for name, verdict in list(of.told_apart.items())[:_SHOWN]:
        console.print(f"  {verdict}: {escape(name)}", soft_wrap=True)
