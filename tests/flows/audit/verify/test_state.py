"""A state directory as evidence: what retention deleted is not missing, and what no record knows yet is not judged."""

import shutil

import pytest

from flows.git import git
from flows.ledger.bodies import Deleted, RetentionDeleted
from flows.runs import RunRecord, Runs
from flows.workspace import workspace_lock
from tests.flows.audit.verify.tampering import codes, record_path, verdict_on
from tests.flows.history import History


def deleted(made: History, *items: tuple[str, str, str | None]) -> None:
    """An entry that says that retention deleted items: kind, path, digest."""
    body = [Deleted(kind=kind, path=path, bytes=1, digest=digest) for kind, path, digest in items]
    made.ledger.append(RetentionDeleted(rule="older than 90 days", items=tuple(body)), "gc")


def test_an_output_that_retention_deleted_is_not_missing(history: History) -> None:
    workspace = history.workspace(history.runs[0])
    path = (workspace / "artifacts" / "prepare").relative_to(history.state).as_posix()
    shutil.rmtree(workspace / "artifacts" / "prepare")
    assert codes(verdict_on(history).findings) == {"disk/missing"}
    deleted(history, ("output", path, None))
    assert verdict_on(history).findings == []


def test_a_workspace_that_is_gone_is_not_missing_and_what_is_left_is_checked(history: History) -> None:
    shutil.rmtree(history.workspace(history.runs[0]))
    before = {one.what: one.count for one in verdict_on(history).checked}
    assert verdict_on(history).findings == [] and before["files of workspaces"] > 0


def test_a_record_that_retention_deleted_is_not_missing(history: History) -> None:
    path = record_path(history, 0, "stages/evaluate/report.json")
    path.unlink()
    assert codes(verdict_on(history, quick=True).findings) == {"record/missing"}
    deleted(history, ("record", path.relative_to(history.state).as_posix(), path.name))
    assert verdict_on(history, quick=True).findings == []


def test_a_ref_that_retention_deleted_is_not_missing(history: History) -> None:
    ref = f"refs/worldmodel/runs/{history.runs[1].run_id}"
    git(history.root, "update-ref", "-d", ref)
    deleted(history, ("ref", ref, None))
    assert verdict_on(history).findings == []


def started(made: History, nth: int) -> RunRecord:
    """A later run in the workspace of the nth, which has left no record."""
    return Runs(made.state).create(made.runs[nth].key, profile="tiny", snapshot="", dirty=False, sources=[])


def test_a_run_that_is_about_to_be_recorded_is_a_note_until_it_is_gone(history: History) -> None:
    run = started(history, 0)
    statement = history.records.run_path(history.runs[0].run_id)
    shutil.copyfile(statement, history.records.run_path(run.run_id))
    verdict = verdict_on(history)
    assert verdict.findings == []
    assert (f"run {run.run_id}", "still at work") in [(note.where, note.sentence) for note in verdict.notes]
    run.pid = 0
    Runs(history.state).save(run)
    assert codes(verdict_on(history).findings) == {"run/unrecorded"}


def test_what_a_killed_run_left_in_a_workspace_is_a_note(history: History) -> None:
    out = history.workspace(history.runs[0]) / "artifacts" / "train_worldrec"
    later = started(history, 0).run_id
    (out / "manifest.json").write_text('{"files": {}, "digest": "", "stage": "train_worldrec"}')
    for name in ("model.safetensors", "config.json"):
        (out / name).unlink()
    verdict = verdict_on(history)
    assert verdict.findings == []
    assert [f"run {later} was there later" in note.sentence for note in verdict.notes] == [True]


def test_a_changed_byte_is_found_even_where_a_killed_run_was(history: History) -> None:
    started(history, 0)
    path = history.workspace(history.runs[0]) / "artifacts" / "train_worldrec" / "model.safetensors"
    path.write_bytes(b"other weights")
    assert codes(verdict_on(history).findings) == {"disk/changed"}


def test_a_workspace_where_a_run_is_at_work_is_noted_as_such(history: History) -> None:
    run = history.runs[0]
    (history.workspace(run) / "params.yaml").write_text("seed: 8\n")
    with workspace_lock(history.state, run.key):
        verdict = verdict_on(history)
    assert verdict.findings == []
    assert [note.sentence for note in verdict.notes] == ["not as a run recorded it: a run is at work there"]


def test_a_workspace_that_no_recorded_run_worked_in_is_a_note(history: History) -> None:
    (history.state / "workspaces" / "0123456789abcdef").mkdir()
    verdict = verdict_on(history)
    assert verdict.findings == []
    assert [note.where for note in verdict.notes] == ["workspace 0123456789abcdef"]


@pytest.mark.parametrize("name", ["params.yaml", "data/sources.json"])
def test_a_file_of_the_workspace_that_is_gone_is_found(history: History, name: str) -> None:
    (history.workspace(history.runs[2]) / name).unlink()
    (only,) = verdict_on(history).findings
    assert only.what == "disk/missing" and only.where.endswith(f": {name}")
