"""What an auditor asks of a real run at debug size, and what tampering with it comes to."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.signing.keys import signing_key_path
from tests.e2e.conftest import ROOT, STAGES, Clone
from worldmodel.data.shards import ClipStore

pytestmark = pytest.mark.timeout(1300)  # the first test may wait for the whole run
MODEL = "worldmodel-debug"


@pytest.fixture(scope="module")
def version(debug_run: dict[str, Any]) -> str:
    return f"{MODEL}/{debug_run['model']['version']}"


@pytest.fixture(scope="module")
def clips(clone: Clone, debug_run: dict[str, Any]) -> ClipStore:
    return ClipStore(clone.workspace(debug_run) / "artifacts" / "prepare")


def test_the_champion_and_who_let_it_through(clone: Clone, debug_run: dict[str, Any]) -> None:
    (found,) = clone.run("audit", "champion", MODEL)["models"]
    serving = found["now"]
    assert serving["model_sha256"] == debug_run["model"]["sha256"]
    assert serving["decision"]["verdict"] == "promote" and serving["run_id"] == debug_run["run_id"]


def test_the_trace_ends_at_logs_code_params_and_surroundings(
    clone: Clone, debug_run: dict[str, Any], version: str, clips: ClipStore
) -> None:
    found = clone.run("audit", "trace", version, "--logs")
    text = str(found)
    assert debug_run["snapshot"] in text and debug_run["run_id"] in text
    assert all(stage in text for stage in STAGES if stage not in ("evaluate", "reconstruct", "rollout", "validate"))
    assert all(clips.row(clip)["log_id"] in text for clip in clips.clip_ids())


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_log_leads_to_the_model_that_saw_it_and_how(
    clone: Clone, debug_run: dict[str, Any], clips: ClipStore, split: str
) -> None:
    log = clips.row(clips.clip_ids(split)[0])["log_id"]  # type: ignore[arg-type]
    (model,) = clone.run("audit", "impact", log)["models"]
    assert model["model_sha256"] == debug_run["model"]["sha256"] and set(model["splits"]) == {split}


def test_it_was_measured_on_logs_it_was_not_trained_on(clone: Clone, version: str) -> None:
    assert clone.run("audit", "disjoint", version)["verdict"] == "disjoint"


def test_nothing_was_altered(clone: Clone, debug_run: dict[str, Any]) -> None:
    verdict = clone.run("audit", "verify")
    assert verdict["findings"] == [] and verdict["holds"] is True


def test_the_index_made_anew_is_what_it_was(clone: Clone, debug_run: dict[str, Any]) -> None:
    clone.run("audit", "index")
    assert clone.run("audit", "index", "--rebuild")["equal"] is True


def test_a_byte_in_the_weights_is_found_and_named(clone: Clone, debug_run: dict[str, Any]) -> None:
    weights = clone.workspace(debug_run) / "artifacts" / "train_worldrec" / "model.safetensors"
    kept = weights.read_bytes()
    changed = bytearray(kept)
    changed[-1] ^= 1
    weights.write_bytes(changed)
    try:
        verdict = clone.run("audit", "verify", expect=(3,))
    finally:
        weights.write_bytes(kept)
    assert any("train_worldrec" in str(f) and "model.safetensors" in str(f) for f in verdict["findings"])


def test_a_pack_is_verified_elsewhere_with_the_public_key_alone(clone: Clone, version: str, tmp_path: Path) -> None:
    pack = Path(clone.run("audit", "export", version, "--out", str(tmp_path / "evidence.tar.gz"))["path"])
    key, own = tmp_path / "root.pub", signing_key_path()
    shutil.copyfile(own.with_name(f"{own.name}.pub"), key)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "flows.cli", "audit", "verify", str(pack), "--key", str(key), "--json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(elsewhere), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    assert subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True).returncode in (1, 3)


def test_retention_would_take_nothing_that_the_champion_needs(clone: Clone, debug_run: dict[str, Any]) -> None:
    plan = clone.run("gc", "--keep", "0", "--dry-run")
    assert debug_run["run_id"] in {run["run_id"] for run in plan["kept"]}
    assert not [item for item in plan["items"] if item["path"].startswith(f"workspaces/{debug_run['key']}")]
