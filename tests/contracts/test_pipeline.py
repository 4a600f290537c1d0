"""One name everywhere, and nothing that DVC does not see: dvc.yaml, params, stages and profiles agree."""

from pathlib import Path

import pytest
import yaml

from flows.closure import PACKAGES, code_closure
from flows.pipeline import stage_names
from flows.profile import Profile, read_profile

ROOT = Path(__file__).parents[2]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PROFILES = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]
NOT_STAGES = {"seed", "threads", "gate", "register", "promotion"}


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_name_exactly_the_code_a_stage_consists_of(stage: str) -> None:
    code = {dep for dep in PIPELINE[stage]["deps"] if dep.split("/")[0] in PACKAGES}
    assert code == set(code_closure(ROOT, f"flows.stages.{stage}")), "run `make deps`"


def test_what_a_module_reads_beside_itself_is_code_too() -> None:
    closure = code_closure(ROOT, "flows.stages.evaluate")
    assert {"evaluation/page/templates/page.html", "evaluation/published.yaml"} <= set(closure)


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_has_one_name_everywhere(stage: str) -> None:
    entry = PIPELINE[stage]
    assert entry["cmd"] == f"exec python -m flows.stages.{stage}"  # no shell between DVC and the stage
    assert entry["outs"] == [f"artifacts/{stage}"]
    assert entry["params"] == ["seed", "threads", stage]
    assert (ROOT / "flows" / "stages" / f"{stage}.py").is_file()


def test_stages_stand_in_the_order_they_run_in() -> None:
    done: set[str] = set()
    for stage in stage_names(ROOT):
        needed = {dep.removeprefix("artifacts/") for dep in PIPELINE[stage]["deps"] if dep.startswith("artifacts/")}
        assert needed <= done, f"{stage} stands before what it needs"
        done.add(stage)


def test_every_training_stage_depends_on_the_verdict() -> None:
    training = [stage for stage in PIPELINE if stage.startswith(("train_", "worldgen_"))]
    assert training and all("artifacts/validate" in PIPELINE[stage]["deps"] for stage in training)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_complete_and_valid(path: Path) -> None:
    sections = set(yaml.safe_load(path.read_text()))
    assert sections == set(PIPELINE) | NOT_STAGES
    assert isinstance(read_profile(path), Profile)


def test_profiles_register_under_names_of_their_own() -> None:
    names = [read_profile(path).register_.model for path in PROFILES]
    assert len(set(names)) == len(names) >= 3
