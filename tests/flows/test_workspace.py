"""Snapshots and workspaces on a real repository."""

import shutil
from pathlib import Path

import pytest

from flows.git import find_checkout, git, is_ignored
from flows.workspace import is_locked, open_workspace, require_space, take_snapshot, workspace_lock
from worldmodel.errors import WorkspaceError

PARAMS, SOURCES = "seed: 1\n", "{}\n"


def test_the_same_state_has_the_same_key_and_every_kind_of_change_another(toy_project: Path) -> None:
    first = take_snapshot(toy_project, PARAMS, SOURCES)
    assert take_snapshot(toy_project, PARAMS, SOURCES).key == first.key and not first.dirty
    keys = {
        first.key,
        take_snapshot(toy_project, "seed: 2\n", SOURCES).key,
        take_snapshot(toy_project, PARAMS, "[]").key,
    }
    (toy_project / "new.py").write_text("x = 1\n")
    untracked = take_snapshot(toy_project, PARAMS, SOURCES)
    assert untracked.dirty and len(keys | {untracked.key}) == 4


def test_a_commit_of_the_same_content_keeps_the_key(toy_project: Path) -> None:
    (toy_project / "new.py").write_text("x = 1\n")
    dirty = take_snapshot(toy_project, PARAMS, SOURCES)
    git(toy_project, "add", "--all")
    git(toy_project, "commit", "--quiet", "--message=new")
    clean = take_snapshot(toy_project, PARAMS, SOURCES)
    assert (clean.key, clean.dirty, dirty.dirty) == (dirty.key, False, True)


def test_a_lock_file_in_the_checkout_is_not_part_of_the_snapshot(toy_project: Path) -> None:
    before = take_snapshot(toy_project, PARAMS, SOURCES).key
    (toy_project / "dvc.lock").write_text("schema: '2.0'\n")
    assert take_snapshot(toy_project, PARAMS, SOURCES).key == before


def test_a_workspace_keeps_outputs_and_loses_edits(toy_project: Path, tmp_path: Path) -> None:
    state, snapshot = tmp_path / "state", take_snapshot(toy_project, PARAMS, SOURCES)
    workspace = open_workspace(toy_project, state, snapshot)
    assert (workspace / "params.yaml").read_text() == PARAMS
    (workspace / "params.yaml").write_text("seed: 9\n")
    (workspace / "stray.py").write_text("")
    (workspace / "dvc.lock").write_text("stages: {}\n")
    (workspace / "artifacts").mkdir()
    (workspace / "artifacts" / "out").write_text("kept")
    assert open_workspace(toy_project, state, snapshot) == workspace
    assert (workspace / "params.yaml").read_text() == PARAMS and not (workspace / "stray.py").exists()
    assert (workspace / "dvc.lock").exists() and (workspace / "artifacts" / "out").read_text() == "kept"


@pytest.mark.parametrize("damage", ["folder gone", "half made"])
def test_a_damaged_workspace_is_made_again(toy_project: Path, tmp_path: Path, damage: str) -> None:
    state, snapshot = tmp_path / "state", take_snapshot(toy_project, PARAMS, SOURCES)
    workspace = open_workspace(toy_project, state, snapshot)
    if damage == "folder gone":
        shutil.rmtree(workspace)
    else:
        workspace.with_name(f"{workspace.name}.ready").unlink()
        (workspace / "params.yaml").unlink()
    assert (open_workspace(toy_project, state, snapshot) / "params.yaml").read_text() == PARAMS


def test_the_lock_is_seen_and_let_go(tmp_path: Path) -> None:
    with workspace_lock(tmp_path, "key"):
        assert is_locked(tmp_path, "key") and not is_locked(tmp_path, "other")
        with pytest.raises(BlockingIOError), workspace_lock(tmp_path, "key"):
            pass
    assert not is_locked(tmp_path, "key")


def test_too_little_space_is_refused_with_numbers(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(WorkspaceError, match="too little disk space") as caught:
        require_space(tmp_path, 10**9)
    assert "MiB free" in caught.value.got and "1000000000 MiB" in caught.value.expected


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError):
        find_checkout(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(WorkspaceError, match=r"no dvc\.yaml"):
        find_checkout(tmp_path)


def test_git_is_asked_what_it_ignores(toy_project: Path) -> None:
    assert is_ignored(toy_project, toy_project / ".worldmodel") and not is_ignored(toy_project, toy_project / "state")
