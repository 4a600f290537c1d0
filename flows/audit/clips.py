"""Which clips a prepared output holds, from its recorded clips.parquet: counted by column, no record a clip."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.base import Record
from flows.audit.books import Books
from flows.audit.making import PREPARE, runs_with, statement_of
from flows.lineage.records import MANIFEST, RunStatement, stage_record
from worldmodel.data.manifest import MANIFEST_NAME, SPLITS
from worldmodel.errors import RecordError

if TYPE_CHECKING:
    import pyarrow

_COLUMNS = ("clip_id", "log_id", "source", "split", "shard", "heldout_frames")


class SplitCount(Record):
    """How many clips, of how many logs, of one source are in one split."""

    source: str
    split: str
    clips: int
    logs: int


@dataclass(frozen=True)
class PreparedClips:
    """The clips of one prepared output (`output`: sha256 of its manifest), as a run recorded them."""

    output: str
    run_id: str
    table: "pyarrow.Table"

    def counts(self) -> tuple[SplitCount, ...]:
        """By source, and by split in the order train, val, test."""
        found = []
        for source in sorted(self.table["source"].unique().to_pylist()):
            for split in SPLITS:
                rows = only(only(self.table, "source", [source]), "split", [split])
                logs = len(rows["log_id"].unique())
                found.append(SplitCount(source=source, split=split, clips=rows.num_rows, logs=logs))
        return tuple(count for count in found if count.clips)

    def logs(self, split: str) -> dict[str, str]:
        """The source of every log with a clip in a split."""
        rows = only(self.table, "split", [split])
        return {
            log: source
            for source in rows["source"].unique().to_pylist()
            for log in only(rows, "source", [source])["log_id"].unique().to_pylist()
        }

    def logs_by_split(self) -> dict[str, tuple[str, ...]]:
        """The logs of every split that has any."""
        found = {split: tuple(sorted(self.logs(split))) for split in SPLITS}
        return {split: logs for split, logs in found.items() if logs}

    def held_out_by_frames(self) -> dict[str, int]:
        """Logs in which only frames are held out, with the number of such clips: training read their other frames."""
        import pyarrow.compute as pc

        any_frame = pc.cast(pc.list_value_length(self.table["heldout_frames"]), "bool")
        return dict(sorted(Counter(self.table.filter(any_frame)["log_id"].to_pylist()).items()))


def only(table: "pyarrow.Table", column: str, values: Iterable[str]) -> "pyarrow.Table":
    """The rows whose column is one of the values.

    By a pattern, which Arrow compares as it stands: handing it values one by one would import pandas.
    """
    import pyarrow.compute as pc

    pattern = "|".join(map(re.escape, sorted(values)))
    return table.filter(pc.match_substring_regex(table[column], f"^(?:{pattern})$"))


def clips_of(books: Books, output: str, run: RunStatement | None = None) -> PreparedClips:
    """The clips of a prepared output, read from the records of `run`, else of the first run that has it.

    Raises:
        RecordError: no run recorded it, or its clips.parquet is gone, was altered or cannot be read.
    """
    name = stage_record(PREPARE, MANIFEST_NAME)
    if run is None or run.files.get(stage_record(PREPARE, MANIFEST)) != output:
        runs = runs_with(books, output)
        if not runs:
            raise RecordError(f"no run has recorded the clips of the prepared output {output[:16]}")
        run = statement_of(books, runs[0][1])
    where = f"{name} of run {run.run_id}"
    if name not in run.files:
        raise RecordError(f"run {run.run_id} has recorded no {MANIFEST_NAME}", fix="worldmodel audit verify")
    return PreparedClips(output, run.run_id, _read(books.records.get(run.files[name], where), where))


def _read(content: bytes, where: str) -> "pyarrow.Table":
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read(columns=list(_COLUMNS))
    except (OSError, pyarrow.ArrowException) as error:
        raise RecordError(f"{where} cannot be read", expected="a parquet file", got=str(error)[:300]) from None
    if missing := sorted(set(_COLUMNS) - set(table.column_names)):
        raise RecordError(f"{where} lacks columns", expected=", ".join(_COLUMNS), got=f"no {', '.join(missing)}")
    return table
