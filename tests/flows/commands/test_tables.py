"""What commands print for people: true numbers, in 80 columns."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from flows.commands.tables import budget_table, overhead_lines
from flows.pipeline import stage_names
from flows.runs import RunRecord

ROOT = Path(__file__).parents[3]


def stage(outcome: str, process_s: float) -> dict[str, Any]:
    return {"outcome": outcome, "seconds": process_s + 1.0, "process_s": process_s, "imports_s": 0.5}


def record(stages: dict[str, dict[str, Any]], total: float, **parts: float) -> RunRecord:
    overhead = {**parts, "total": total}
    return RunRecord("run", "key", "tiny", "0" * 40, False, [], 1, 0.0, stages=stages, overhead_s=overhead)


def printed(table: RenderableType) -> list[list[str]]:
    """The words of every line, in a terminal of 80 columns."""
    output = io.StringIO()
    Console(width=80, file=output).print(table)
    lines = output.getvalue().splitlines()
    assert all(len(line) <= 80 and "…" not in line for line in lines)
    return [line.split() for line in lines if line.strip()]


def test_the_budget_has_every_stage_in_seconds_and_as_a_share_and_what_was_around_them() -> None:
    ran = {"prepare": stage("ran", 10.0), "validate": stage("cached", 0.0), "rollout": stage("ran", 30.0)}
    title, header, *rows = printed(budget_table(record(ran, total=50.0)))
    assert (title, header) == (["time"], ["stage", "outcome", "seconds", "share"])
    assert rows == [
        ["prepare", "ran", "10.0", "20%", "█" * 5],  # 24 wide: 4.8
        ["validate", "cached", "0.0", "0%"],
        ["rollout", "ran", "30.0", "60%", "█" * 14],
        ["around", "the", "stages", "10.0", "20%", "█" * 5],
        ["all", "50.0"],
    ]


def test_the_budget_of_every_stage_fits_whole() -> None:
    names = stage_names(ROOT)
    rows = printed(budget_table(record({name: stage("restored", 999.9) for name in names}, total=12998.7)))
    assert [row[0] for row in rows[2:-2]] == names


@pytest.mark.parametrize("total", [0.0, 8.999])
def test_a_total_below_its_parts_gives_no_negative_rest(total: float) -> None:
    rows = printed(budget_table(record({"prepare": stage("ran", 9.0)}, total)))
    assert rows[3] == ["around", "the", "stages", "0.0", "0%"]


def test_the_time_without_stages_is_split_into_imports_and_orchestration() -> None:
    parts = {"imports of the stages": 3.0, "imports of the driver": 2.0, "waiting for Prefect's server": 1.0}
    assert overhead_lines(record({}, 50.0, **parts)).splitlines() == [
        "process imports 5.0 s, 10% of 50.0 s: imports of the stages 3.0, imports of the driver 2.0",
        "orchestration 1.0 s, 2% of 50.0 s: waiting for Prefect's server 1.0",
    ]
