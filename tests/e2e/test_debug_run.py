"""The whole way at debug size: data, training, evaluation, gate, registry, from a fresh clone and with no server."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from evaluation.records import read_decision, read_report
from flows.git import git
from flows.pipeline import lock_entries
from tests.e2e.conftest import Clone

STAGES = ["prepare", "validate", "train_worldrec", "reconstruct", "evaluate"]


def outcomes(record: dict[str, Any]) -> dict[str, str]:
    return {name: facts["outcome"] for name, facts in record["stages"].items()}


def test_every_stage_ran_and_the_end_is_promoted(clone: Clone, debug_run: dict[str, Any]) -> None:
    assert outcomes(debug_run) == dict.fromkeys(STAGES, "ran")
    assert (debug_run["status"], debug_run["exit_code"]) == ("promoted", 0)
    for stage in STAGES:
        manifest = json.loads((clone.workspace(debug_run) / "artifacts" / stage / "manifest.json").read_text())
        assert manifest["stage"] == stage and manifest["files"]


def test_the_report_the_decision_and_the_pictures_are_there(clone: Clone, debug_run: dict[str, Any]) -> None:
    evaluated = clone.workspace(debug_run) / "artifacts" / "evaluate"
    report = read_report(evaluated / "report.json")
    psnr = next(group for group in report.groups if group.split == "test").metric("image/psnr")
    assert psnr is not None and psnr.value is not None and set(psnr.baselines) >= {"nearest_context"}
    assert report.model.sha256 == debug_run["model"]["sha256"]
    decision = read_decision(clone.state / "runs" / debug_run["run_id"] / "decision.json")
    assert decision.verdict == "promote" and all(rule.verdict == "pass" for rule in decision.rules)
    assert len(debug_run["pictures"]) >= 3 and all(Path(path).stat().st_size for path in debug_run["pictures"])


def test_the_shards_are_plain_tar(clone: Clone, debug_run: dict[str, Any]) -> None:
    shard = next((clone.workspace(debug_run) / "artifacts" / "prepare" / "shards").glob("*.tar"))
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    assert members and {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}


def test_nothing_of_the_run_is_in_the_checkout(clone: Clone, debug_run: dict[str, Any]) -> None:
    assert git(clone.root, "status", "--porcelain") == ""
    lock = git(clone.root, "show", f"refs/worldmodel/runs/{debug_run['run_id']}:dvc.lock")
    assert all(f"artifacts/{stage}" in lock for stage in STAGES)


def test_a_second_run_starts_no_stage_and_finds_the_champion(clone: Clone, debug_run: dict[str, Any]) -> None:
    second = clone.run("run", "--profile", "debug")
    assert outcomes(second) == dict.fromkeys(STAGES, "cached")
    assert second["status"] == "already_champion" and second["model"] == debug_run["model"]
    assert set(second["overhead_s"]) == set(debug_run["overhead_s"]) and "total" in second["overhead_s"]
    status = clone.run("status")
    assert status["champions"]["worldmodel-debug"]["sha256"] == debug_run["model"]["sha256"]
    assert [record["run_id"] for record in clone.run("runs")][:2] == [second["run_id"], debug_run["run_id"]]


RENDER = """
import sys
from pathlib import Path
import mlflow.pyfunc
import numpy as np
from worldmodel.data.shards import ClipStore  # of this project; the model brings its own

model = mlflow.pyfunc.load_model("models:/worldmodel-debug@champion")
store = ClipStore(Path(sys.argv[1]))
clip = store.load(store.clip_ids("test")[0])
views = {
    "rgb": clip.rgb[0], "Ks": clip.Ks, "world_from_camera": clip.world_from_camera[0],
    "times_s": np.zeros(len(clip.cameras)), "world_from_ego": clip.world_from_ego[0],
    "target_Ks": clip.Ks[:1], "target_world_from_camera": clip.world_from_camera[1, :1],
    "target_times_s": clip.times_s[1:2],
}
images = model.predict(views)
assert images["rgb"].shape == clip.rgb[1, :1].shape and images["rgb"].std() > 1
"""


def test_a_clean_process_loads_the_champion_and_renders_a_view(
    clone: Clone, debug_run: dict[str, Any], tmp_path: Path
) -> None:
    prepared = clone.workspace(debug_run) / "artifacts" / "prepare"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DO_NOT_TRACK": "true"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{clone.state / 'mlflow.db'}"
    command = [sys.executable, "-c", RENDER, str(prepared)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_fresh_clones_make_the_same_hashes(
    clone: Clone, debug_run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Clone(tmp_path_factory.mktemp("other"))
    record = other.run("run", "--profile", "debug", "--until", "evaluate")
    mine, theirs = (lock_entries(c.workspace(r) / "dvc.lock") for c, r in ((clone, debug_run), (other, record)))
    assert {name: entry["outs"] for name, entry in mine.items()} == {
        name: entry["outs"] for name, entry in theirs.items()
    }
