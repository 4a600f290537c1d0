"""With DVC itself: what is kept comes back in every worktree, what went does not, and the pipeline runs on."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.environment import stage_environment
from flows.git import git
from flows.ledger.store import Ledger, ledger_url
from flows.ledger.trust import ensure_trusted
from flows.lineage.records import Records
from flows.retention.plan import make_plan
from flows.retention.rule import Place, Rule
from flows.retention.sweep import Swept, sweep
from flows.runs import RunRecord, Runs
from flows.signing.keys import SigningKey, make_key
from flows.workspace import open_workspace, record, take_snapshot
from tests.flows.retention.states import AN_HOUR

PIPELINE = """stages:
  make:
    cmd: mkdir -p artifacts/make/deep && cp params.yaml artifacts/make/deep/ && echo shared > artifacts/make/shared
    params: [value]
    outs: [artifacts/make]
  count:
    cmd: wc -c < artifacts/make/deep/params.yaml > artifacts/count && cat params.yaml >> artifacts/count
    deps: [artifacts/make]
    outs: [artifacts/count]
"""


@dataclass
class Project:
    """A checkout with two stages of DVC's, one with a folder as output, the other with a file."""

    place: Place
    key: SigningKey

    def run(self, value: int) -> RunRecord:
        """A run as the driver leaves it, with the stages' outputs in the cache."""
        state, runs = self.place.state, Runs(self.place.state)
        snapshot = take_snapshot(self.place.checkout, f"value: {value}\n", "{}")
        workspace = open_workspace(self.place.checkout, state, snapshot)
        found = runs.create(snapshot.key, profile="tiny", snapshot=snapshot.commit, dirty=False, sources=[])
        made = self.dvc(workspace, "repro", "--quiet")
        assert made.returncode == 0, made.stderr
        lock = workspace / "dvc.lock"
        shutil.copy(lock, runs.folder(found.run_id))
        found.stages = {"make": {}, "count": {}}
        runs.finish(found, "stopped_early", 0)
        record(self.place.checkout, found.run_id, snapshot, {lock.name: lock.read_bytes()})
        return found

    def worktree_of(self, run: RunRecord, note: str) -> Path:
        """Another worktree with a run's lock and none of its outputs."""
        (self.place.checkout / "note.txt").write_text(note)
        snapshot = take_snapshot(self.place.checkout, "value: 0\n", "{}")
        workspace = open_workspace(self.place.checkout, self.place.state, snapshot)
        shutil.copy(Runs(self.place.state).folder(run.run_id) / "dvc.lock", workspace)
        return workspace

    def dvc(self, workspace: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command, environment = [sys.executable, "-m", "dvc", *arguments], stage_environment(self.place.state)
        return subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)

    def sweep(self, newest: int) -> Swept:
        plan = make_plan(self.place, Rule(newest, now=time.time() + AN_HOUR))
        return sweep(self.place, plan, self.key, "ann")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    root = tmp_path / "checkout"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".gitignore").write_text("/.worldmodel/\n/artifacts/\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=A project")
    state, key = root / ".worldmodel", make_key(tmp_path / "keys" / "signing.pem")
    ledger = Ledger.open(ledger_url(state))
    ensure_trusted(ledger, key, "ann")
    yield Project(Place(root, state, ledger, Records(state / "records")), key)
    ledger.close()


def test_what_is_kept_comes_back_by_dvc_checkout_in_every_worktree_and_what_went_does_not(project: Project) -> None:
    old, kept = project.run(1), project.run(2)
    of_old = project.worktree_of(old, "old")
    lock = (of_old / "dvc.lock").read_bytes()
    (of_old / "dvc.lock").unlink()  # a lock in a workspace that stays keeps what it names
    found = project.sweep(1)
    kinds = {kind: sum(item.kind == kind for item in found.items) for kind in ("object", "run-cache", "workspace")}
    assert kinds == {"object": 3, "run-cache": 2, "workspace": 2}, "the shared file is kept"
    assert found.notes == []

    workspace = project.place.state / "workspaces" / kept.key
    shutil.rmtree(workspace / "artifacts")
    second = project.worktree_of(kept, "kept again")
    for place in (workspace, second):
        assert project.dvc(place, "checkout").returncode == 0
        assert (place / "artifacts" / "make" / "deep" / "params.yaml").read_text() == "value: 2\n"
        assert (place / "artifacts" / "make" / "shared").read_text() == "shared\n"
        assert (place / "artifacts" / "count").read_text().endswith("value: 2\n")
    assert json.loads(project.dvc(workspace, "status", "--json").stdout) == {}

    (second / "dvc.lock").write_bytes(lock)
    failed = project.dvc(second, "checkout", "--force")
    assert failed.returncode != 0 and "artifacts/count" in failed.stderr


def test_a_run_that_went_can_be_made_again(project: Project) -> None:
    old = project.run(1)
    project.run(2)
    project.sweep(1)
    again = project.run(1)
    assert again.key == old.key
    output = project.place.state / "workspaces" / again.key / "artifacts" / "count"
    assert output.read_text().endswith("value: 1\n")
