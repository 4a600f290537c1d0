"""Run records: found by any unique part of their id, and honest about drivers that are gone."""

import json
from pathlib import Path

import pytest

from flows.runs import RunRecord, Runs
from worldmodel.errors import WorkspaceError


def create(runs: Runs, key: str) -> RunRecord:
    return runs.create(key, profile="tiny", snapshot="c" * 40, dirty=False, sources=[])


def test_two_runs_of_one_second_have_ids_of_their_own_and_the_newest_comes_first(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    first, second = create(runs, "a" * 16), create(runs, "a" * 16)
    assert first.run_id != second.run_id
    assert [record.run_id for record in runs.newest_first()] == sorted([first.run_id, second.run_id], reverse=True)
    assert runs.find("latest").run_id == max(first.run_id, second.run_id)


def test_a_run_is_found_by_a_unique_part_and_an_ambiguous_one_is_refused(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    one, other = create(runs, "1111222233334444"), create(runs, "5555666677778888")
    assert runs.find("11112222").run_id == one.run_id and runs.find(other.run_id).run_id == other.run_id
    with pytest.raises(WorkspaceError, match="more than one run matches"):
        runs.find("20")
    with pytest.raises(WorkspaceError, match="no run matches 'x'"):
        runs.find("x")


def test_a_record_whose_driver_is_gone_says_killed(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    record = create(runs, "a" * 16)
    assert runs.find(record.run_id).status == "running"
    record.started_at -= 1000.0  # another process had this number
    runs.save(record)
    assert runs.find(record.run_id).status == "killed"
    runs.finish(record, "promoted", 0)
    assert runs.find(record.run_id).status == "promoted"


@pytest.mark.parametrize("content", ["{", json.dumps({"run_id": "r"}), json.dumps({"colour": "blue"})])
def test_a_foreign_record_is_named_with_the_way_out(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "runs" / "20990101-000000-aaaaaaaa"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(content)
    with pytest.raises(WorkspaceError, match=r"run\.json: not a run record") as caught:
        Runs(tmp_path).find("latest")
    assert "move" in caught.value.fix
