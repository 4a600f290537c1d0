"""`audit index`: the lineage index brought up to date, or made anew."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout
from flows.lineage.index import Counts, Index, index_url, rebuild_index
from flows.lineage.records import Records


@dataclass(frozen=True)
class _Done:
    counts: Counts
    sentence: str
    facts: dict[str, Any]


def index(rebuild: bool, *, as_json: bool) -> int:
    """Adds the runs that are missing, or makes the index anew from the records and says whether it is as it was."""
    state = state_dir(find_checkout(Path.cwd()))
    records = Records(state / "records")
    done = _rebuild(state, records) if rebuild else _catch_up(state, records)
    if as_json:
        print_json({**done.facts, **asdict(done.counts)})
        return 0
    console = Console(highlight=False)
    console.print(done.sentence)
    console.print(_table(done.counts))
    return 0


def _catch_up(state: Path, records: Records) -> _Done:
    with Index.open(index_url(state)) as opened:
        added = opened.catch_up(records)
        counts = opened.counts()
    said = f"{added} run{'s' if added != 1 else ''} added" if added else "up to date: no run was missing"
    return _Done(counts, said, {"added": added})


def _rebuild(state: Path, records: Records) -> _Done:
    made = rebuild_index(index_url(state), records)
    said = {
        True: "made anew, and equal to what it was",
        False: "made anew, and [bold]not[/] what it was: runs were missing, or records or the index were changed",
        None: "made for the first time" if made.first else "made anew; what was there could not be read",
    }
    return _Done(made.counts, said[made.equal], {"equal": made.equal, "first": made.first, "digest": made.digest})


def _table(counts: Counts) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("in the index")
    table.add_column("", justify="right")
    for kind, number in [*counts.nodes.items(), ("edges", counts.edges), ("runs recorded", counts.runs)]:
        table.add_row(kind, f"{number:,}")
    return table
