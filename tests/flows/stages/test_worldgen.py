"""The WorldGen stages in their order, on a small prepared artifact: what they write, refuse, and go on from."""

import hashlib
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from safetensors.numpy import load_file

from flows.checks.verdict import VERDICT_SCHEMA
from flows.manifest import write_manifest
from flows.stage import Stage
from flows.stages import (
    rollout,
    train_tokenizer,
    worldgen_bidirectional,
    worldgen_dmd,
    worldgen_ode_distillation,
    worldgen_ode_pairs,
    worldgen_teacher_forcing,
)
from worldmodel.data.config import PrepareConfig
from worldmodel.data.prepare import prepare
from worldmodel.data.shards import ClipStore
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.errors import Preempted, UnfitDataError
from worldmodel.worldgen.config import (
    BidirectionalConfig,
    DmdConfig,
    OdeDistillationConfig,
    OdePairsConfig,
    RolloutConfig,
    TeacherForcingConfig,
)
from worldmodel.worldgen.inference import load_generator
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig

WORLD = SyntheticConfig(logs=6, clips_per_log=1, frames=9, height=16, width=24)
SHORT = {"steps": 2, "warmup": 0, "batch_size": 2, "log_every": 1, "validation_samples": 1, "validate_every": 2}
SMALL_MODEL = {"width": 16, "heads": 2, "ffn": 16, "layers": 2, "frequencies": 4, "text_width": 4, "layout_channels": 2}
STAGES: dict[str, tuple[ModuleType, type[BaseModel], dict[str, Any]]] = {
    "train_tokenizer": (
        train_tokenizer,
        TrainTokenizerConfig,
        {"frames": 9, "linear": {"channels": 3, "spatial_stride": 4}, "cameras": {"synthetic": ("front",)}},
    ),
    "worldgen_bidirectional": (worldgen_bidirectional, BidirectionalConfig, {"model": SMALL_MODEL, "train": SHORT}),
    "worldgen_teacher_forcing": (worldgen_teacher_forcing, TeacherForcingConfig, {"train": SHORT}),
    "worldgen_ode_pairs": (worldgen_ode_pairs, OdePairsConfig, {"pairs": 5, "steps": 4, "batch_size": 2}),
    "worldgen_ode_distillation": (worldgen_ode_distillation, OdeDistillationConfig, {"train": SHORT}),
    "worldgen_dmd": (worldgen_dmd, DmdConfig, {"train": SHORT}),
    "rollout": (
        rollout,
        RolloutConfig,
        {"steps": 2, "max_samples": 3, "batch_size": 2, "spread_seeds": 2, "spread_samples": 2},
    ),
}
TRAINED = ("worldgen_bidirectional", "worldgen_teacher_forcing", "worldgen_ode_distillation", "worldgen_dmd")


def judge(root: Path, fit: bool) -> None:
    out = root / "artifacts/validate"
    out.mkdir(exist_ok=True)
    verdict = {"schema_version": VERDICT_SCHEMA, "success": fit, "errors": {"clips": "not today"}, "suites": []}
    (out / "verdict.json").write_text(json.dumps(verdict))
    write_manifest(out, "validate")


def open_stage(root: Path, name: str, **changes: Any) -> Stage[Any]:
    directories = [root / "artifacts" / name, root / "run" / name, root / "resume" / name]
    shutil.rmtree(directories[0], ignore_errors=True)
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    _, config, params = STAGES[name]
    return Stage(name, config.model_validate(params | changes), 0, 1, root, *directories)


def run(root: Path, name: str, **changes: Any) -> Path:
    stage = open_stage(root, name, **changes)
    STAGES[name][0].run(stage)
    write_manifest(stage.out, name)
    return stage.out


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which every stage ran."""
    root = tmp_path_factory.mktemp("workspace")
    out = root / "artifacts/prepare"
    out.mkdir(parents=True)
    split = {"train": 0.5, "val": 0.2, "test": 0.3}
    config = PrepareConfig.model_validate({"height": 16, "width": 24, "workers": 1, "split": split, "synthetic": WORLD})
    (root / "parts").mkdir()
    prepare([SyntheticSource(WORLD, 0)], config, 0, out, root / "parts")
    write_manifest(out, "prepare")
    judge(root, fit=True)
    priors = root / "artifacts/render_priors"
    priors.mkdir()
    (priors / "not_applicable.json").write_text('{"reason": "no WorldRec"}')
    write_manifest(priors, "render_priors")
    for name in STAGES:
        run(root, name)
    return root


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage, without resume states."""
    root = Path(shutil.copytree(finished, tmp_path / "workspace"))
    shutil.rmtree(root / "resume")
    return root


@pytest.mark.parametrize("name", TRAINED)
def test_training_writes_weights_config_and_history(finished: Path, name: str) -> None:
    out = finished / "artifacts" / name
    assert set(contents(out)) == {"model.safetensors", "config.json", "history.json", "manifest.json"}
    history = json.loads((out / "history.json").read_text())["steps"]
    assert [record["step"] for record in history] == [1, 2]
    assert any(key.startswith("val_") for key in history[-1])
    sampler = {"worldgen_bidirectional": "full", "worldgen_teacher_forcing": "causal"}.get(name, "few_step")
    assert json.loads((out / "config.json").read_text())["sampling"]["sampler"] == sampler


@pytest.mark.parametrize("name", ["worldgen_dmd", "worldgen_ode_pairs", "rollout"])
def test_a_stage_that_runs_twice_writes_the_same_bytes(workspace: Path, name: str) -> None:
    before = contents(workspace / "artifacts" / name)
    assert contents(run(workspace, name)) == before


@pytest.mark.parametrize("name", ["worldgen_ode_pairs", "rollout"])
def test_a_stopped_stage_goes_on_with_the_next_batch_to_the_same_bytes(workspace: Path, name: str) -> None:
    before = contents(workspace / "artifacts" / name)
    stage = open_stage(workspace, name)
    stage.stop_requested = True
    with pytest.raises(Preempted):
        STAGES[name][0].run(stage)
    kept = {path: path.stat().st_mtime_ns for path in stage.resume_dir.rglob("*.safetensors")}
    assert len(kept) == 2
    assert contents(run(workspace, name)) == before
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_pairs_say_what_they_are_of(finished: Path) -> None:
    out = finished / "artifacts/worldgen_ode_pairs"
    index = json.loads((out / "index.json").read_text())
    assert [pair["pair"] for pair in index["pairs"]] == [0, 1, 2, 3, 4]
    latents = finished / "artifacts/train_tokenizer/latents"
    for pair in index["pairs"]:
        stored = load_file(out / "pairs" / f"{pair['pair']:06d}.safetensors")
        z = load_file(latents / f"{pair['sample_id']}.safetensors")["z"]
        assert stored["states"].shape == (3, *z.shape)
        assert np.array_equal(stored["end"][0], z[0]) and not np.array_equal(stored["end"][1], z[1])


def test_a_rollout_holds_every_video_of_every_method(finished: Path) -> None:
    out = finished / "artifacts/rollout"
    index = json.loads((out / "index.json").read_text())
    assert [method["name"] for method in index["methods"]] == [
        "repeat_last_frame", "bidirectional", "bidirectional_causal", "teacher_forcing", "teacher_forcing_4step", "ode",
        "dmd",
    ]  # fmt: skip
    assert [method["steps"] for method in index["methods"]] == [None, 2, 2, 2, 4, 4, 4]
    weights = (finished / "artifacts/worldgen_dmd/model.safetensors").read_bytes()
    assert index["methods"][-1]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert (index["frames"], index["rate_hz"]) == (9, 10.0)
    roles = {role: [s for s in index["samples"] if s["role"] == role] for role in ("generated", "reference")}
    assert len(roles["generated"]) == len(roles["reference"]) == 3
    assert {s["split"] for s in roles["generated"]} == {"test"}
    assert not {s["log_id"] for s in roles["generated"]} & {s["log_id"] for s in roles["reference"]}
    generated = {f"{s['sample_id']}.safetensors" for s in roles["generated"]}
    folders = {path.name: {file.name for file in path.iterdir()} for path in (out / "videos").iterdir()}
    names = [method["name"] for method in index["methods"]]
    further = index["spread"]["folders"]
    assert folders.keys() == {*names, *further, "repeat_last_frame_tokenizer", "tokenizer"}
    assert all(folders[name] == generated for name in folders if name not in ("tokenizer", *further))
    assert folders["tokenizer"] == generated | {f"{s['sample_id']}.safetensors" for s in roles["reference"]}


def test_the_students_first_samples_are_made_by_further_seeds_too(finished: Path) -> None:
    out = finished / "artifacts/rollout"
    index = json.loads((out / "index.json").read_text())
    generated = [sample["sample_id"] for sample in index["samples"] if sample["role"] == "generated"]
    folders = ["dmd_seed_1", "dmd_seed_2"]
    assert index["spread"] == {"method": "dmd", "folders": folders, "sample_ids": generated[:2]}
    names = {f"{sample_id}.safetensors" for sample_id in generated[:2]}
    for folder in folders:
        assert {path.name for path in (out / "videos" / folder).iterdir()} == names
    videos = [load_file(out / "videos" / name / f"{generated[0]}.safetensors")["rgb"] for name in ["dmd", *folders]]
    assert all(np.array_equal(video[0], videos[0][0]) for video in videos)
    assert len({video.tobytes() for video in videos}) == 3


def test_without_further_seeds_or_a_student_there_is_no_spread(workspace: Path) -> None:
    index = json.loads((run(workspace, "rollout", spread_seeds=0) / "index.json").read_text())
    assert index["spread"] is None
    index = json.loads((run(workspace, "rollout", methods=("repeat_last_frame", "ode")) / "index.json").read_text())
    assert index["spread"] is None


def test_videos_start_with_the_given_frame(finished: Path) -> None:
    out = finished / "artifacts/rollout"
    sample = json.loads((out / "index.json").read_text())["samples"][0]
    videos = {
        path.name: load_file(path / f"{sample['sample_id']}.safetensors")["rgb"] for path in (out / "videos").iterdir()
    }
    assert {video.shape for video in videos.values()} == {(9, 16, 24, 3)}
    clip = ClipStore(finished / "artifacts/prepare").load(sample["clip_id"])
    given = clip.rgb[sample["frame_indices"][0], clip.cameras.index(sample["camera"])]
    assert np.array_equal(videos["repeat_last_frame"], np.repeat(given[None], 9, 0))
    for name, video in videos.items():
        if name != "repeat_last_frame":
            assert np.array_equal(video[0], videos["tokenizer"][0]), name
    assert not np.array_equal(videos["dmd"][1:], videos["ode"][1:])


def test_data_that_were_found_unfit_are_not_trained_on(workspace: Path) -> None:
    judge(workspace, fit=False)
    for name in (*TRAINED, "worldgen_ode_pairs"):
        with pytest.raises(UnfitDataError, match="not today"):
            run(workspace, name)


def test_without_a_tokenizer_no_stage_is_applicable_and_each_says_why(workspace: Path) -> None:
    tokenizer = workspace / "artifacts/train_tokenizer"
    shutil.rmtree(tokenizer)
    tokenizer.mkdir()
    (tokenizer / "not_applicable.json").write_text('{"reason": "no clip has a layout"}')
    write_manifest(tokenizer, "train_tokenizer")
    for name in list(STAGES)[1:]:
        out = run(workspace, name)
        assert set(contents(out)) == {"not_applicable.json", "manifest.json"}
        assert json.loads((out / "not_applicable.json").read_text())["reason"].endswith("no clip has a layout")


def test_a_rollout_says_which_held_out_clips_are_missing_in_it_and_why(workspace: Path) -> None:
    """One that became no sample, and one whose log trains as well; without another there is nothing to roll out."""
    path = workspace / "artifacts/train_tokenizer/index.json"
    index = json.loads(path.read_text())
    first = next(sample for sample in index["samples"] if sample["split"] == "test")
    index["samples"] = [s for s in index["samples"] if s["split"] != "test" or s["clip_id"] != first["clip_id"]]
    for sample in index["samples"]:
        sample["same_log"] = sample["split"] == "test"
    index["left_out"] = [{"clip_id": first["clip_id"], "camera": None, "reason": "it has 3 frames"}]
    path.write_text(json.dumps(index))
    out = run(workspace, "rollout")
    reason = json.loads((out / "not_applicable.json").read_text())["reason"]
    assert reason == (
        "no held-out sample can be generated; synthetic: it has 3 frames; synthetic: its source has no held-out log: "
        "training reads other frames of this one"
    )


def test_a_method_without_weights_is_left_out_of_the_rollout_by_name(workspace: Path) -> None:
    dmd = workspace / "artifacts/worldgen_dmd"
    shutil.rmtree(dmd)
    dmd.mkdir()
    (dmd / "not_applicable.json").write_text('{"reason": "no time"}')
    write_manifest(dmd, "worldgen_dmd")
    index = json.loads((run(workspace, "rollout") / "index.json").read_text())
    assert "dmd" not in [method["name"] for method in index["methods"]]
    assert index["left_out"][0] == {"method": "dmd", "reason": "worldgen_dmd was not applicable: no time"}


def test_the_bundle_of_tokenizer_and_generator_makes_the_rollouts_kind_of_video(finished: Path) -> None:
    artifacts = finished / "artifacts"
    generator = load_generator(artifacts / "train_tokenizer/tokenizer", artifacts / "worldgen_dmd")
    video = generator.generate(np.zeros((16, 24, 3), np.uint8), np.zeros((9, 16, 24, 3), np.uint8))
    assert video.shape == (9, 16, 24, 3)
