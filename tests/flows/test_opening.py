"""What is found out before the first stage, in real processes of the toy project."""

import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.extractors.weights import DIRECTORY_VARIABLE, WEIGHTS
from evaluation.protocols import PRESETS
from flows.git import git
from flows.opening import _require_metric_weights, networks_needed
from tests.flows.conftest import Toy
from worldmodel.errors import MissingDependencyError


def test_weights_that_the_measurement_may_need_are_asked_for_before_the_first_stage(toy: Toy, tmp_path: Path) -> None:
    pipeline, params = toy.root / "dvc.yaml", toy.root / "params.yaml"
    pipeline.write_text(pipeline.read_text().replace("  three:", "  evaluate:"))
    params.write_text(params.read_text() + "rollout: {max_samples: 8}\nevaluate: {protocol: tiny}\n")
    git(toy.root, "commit", "--quiet", "--all", "--message=A stage that measures")
    toy.environment[DIRECTORY_VARIABLE] = str(tmp_path / "nowhere")
    error = toy.run("run", expect=1)["error"]
    assert "i3d-k400" in error["got"] and "worldmodel metrics fetch-weights" in error["fix"]
    assert not (toy.state / "runs").exists()


def test_only_what_the_protocol_measures_on_so_many_videos_is_asked_for() -> None:
    perceptual = ["dists-v0.1", "lpips-alex", "lpips-vgg"]
    assert networks_needed(PRESETS["debug"], 7) == []
    assert networks_needed(PRESETS["tiny"], 7) == perceptual
    assert networks_needed(PRESETS["tiny"], 8) == sorted([*perceptual, "i3d-k400", "inception-2015-12-05"])
    assert networks_needed(PRESETS["storm-waymo"], 8) == perceptual
    assert set(networks_needed(PRESETS["own16"], 64)) <= set(WEIGHTS)


def test_a_run_without_learned_metrics_needs_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    _require_metric_weights({"evaluate": {"protocol": "debug"}, "rollout": {"max_samples": 7}})
    with pytest.raises(MissingDependencyError, match="lpips-alex"):
        _require_metric_weights({"evaluate": {"protocol": "tiny"}, "rollout": {"max_samples": 7}})


def test_a_stage_starts_with_the_threads_of_the_params_and_an_absolute_place_of_the_weights(toy: Toy) -> None:
    stage = toy.root / "flows" / "stages" / "one.py"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", DIRECTORY_VARIABLE)
    stage.write_text(f"import os\nprint('at import', *map(os.environ.get, {names}))\n" + stage.read_text())
    toy.environment |= {"OMP_NUM_THREADS": "5", DIRECTORY_VARIABLE: "weights"}
    toy.run("run", "--until", "one")
    (log,) = toy.state.glob("workspaces/*/run/one/log.txt")
    assert f"at import 1 1 1 {toy.root / 'weights'}\n" in log.read_text()


def test_opening_a_run_loads_no_torch() -> None:
    code = "import sys, flows.opening; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
