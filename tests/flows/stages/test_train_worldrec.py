"""The stages train_worldrec and reconstruct on a small prepared artifact: two real sources, one with a single log."""

import dataclasses
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from flows.checks.verdict import VERDICT_SCHEMA
from flows.manifest import write_manifest
from flows.stage import Stage
from flows.stages import reconstruct, train_worldrec
from worldmodel.data.config import PrepareConfig
from worldmodel.data.prepare import prepare
from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.errors import Preempted, UnfitDataError
from worldmodel.worldrec.config import ReconstructConfig, TrainWorldRecConfig

WORLD = SyntheticConfig(logs=4, clips_per_log=1, frames=7, height=16, width=24)
SMALL: dict[str, Any] = {
    "model": {
        "channels": [8, 16],
        "width": 8,
        "grid": 2,
        "rounds": 1,
        "hypotheses": 0,
        "depth_bins": 8,
        "motion_tokens": 2,
    },
    "train": {"steps": 8, "warmup": 1, "targets": 1, "validate_every": 4, "checkpoint_every": 2, "log_every": 2},
}


class OneDrive:
    """A recorded-looking source: one log of three frames, sparse depth, no masks."""

    name, licence = "one_drive", "MIT"

    def digest(self) -> str:
        return hashlib.sha256(b"one drive").hexdigest()

    def log_ids(self) -> list[str]:
        return ["one_drive-0"]

    def read_log(self, log_id: str) -> list[Clip]:
        clip = SyntheticSource(one_log(frames=3), 5).read_log("synthetic-0000")[0]
        assert clip.depth is not None
        sparse = np.where(np.random.default_rng(0).random(clip.depth.shape) < 0.1, clip.depth, 0).astype(np.float32)
        return [
            dataclasses.replace(
                clip, clip_id="one_drive-0-000", log_id=log_id, source=self.name, licence=self.licence, depth=sparse,
                depth_kind="lidar", sky=None, dynamic=None, boxes=None, lanes=None,
            )
        ]  # fmt: skip


def one_log(frames: int) -> SyntheticConfig:
    return WORLD.model_copy(update={"logs": 1, "frames": frames})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished prepare stage."""
    root = tmp_path_factory.mktemp("workspace")
    out = root / "artifacts/prepare"
    out.mkdir(parents=True)
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    config = PrepareConfig.model_validate({"height": 16, "width": 24, "workers": 1, "split": split, "synthetic": WORLD})
    (root / "parts").mkdir()
    prepare([SyntheticSource(WORLD, 0), OneDrive()], config, 0, out, root / "parts")
    write_manifest(out, "prepare")
    judge(root, fit=True)
    return root


def judge(root: Path, fit: bool) -> None:
    out = root / "artifacts/validate"
    out.mkdir(exist_ok=True)
    verdict = {"schema_version": VERDICT_SCHEMA, "success": fit, "errors": {"clips": "not today"}, "suites": []}
    (out / "verdict.json").write_text(json.dumps(verdict))
    write_manifest(out, "validate")


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(prepared, tmp_path / "workspace"))


def open_stage(root: Path, name: str, params: Any) -> Stage[Any]:
    directories = [root / "artifacts" / name, root / "run" / name, root / "resume" / name]
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    return Stage(name, params, 0, 1, root, *directories)


def train(root: Path, **changes: Any) -> Stage[Any]:
    params = SMALL | {"train": SMALL["train"] | changes}
    stage = open_stage(root, "train_worldrec", TrainWorldRecConfig.model_validate(params))
    train_worldrec.run(stage)
    write_manifest(stage.out, stage.name)
    return stage


def rebuild(root: Path, splits: tuple[str, ...] = ("test",)) -> Stage[Any]:
    stage = open_stage(root, "reconstruct", ReconstructConfig.model_validate({"splits": splits}))
    reconstruct.run(stage)
    return stage


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def blot_out(root: Path, clip_id: str, frame: int) -> int:
    """Overwrites a frame's images in the shards with zero bytes; how many members that were."""
    blotted = 0
    for shard in sorted((root / "artifacts/prepare/shards").glob("*.tar")):
        data = bytearray(shard.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(bytes(data))) as tar:
            for member in tar:
                if member.name.startswith(f"{clip_id}.{frame:03d}."):
                    data[member.offset_data : member.offset_data + member.size] = bytes(member.size)
                    blotted += 1
        shard.write_bytes(data)
    return blotted


def test_training_writes_weights_config_and_a_curve_and_twice_the_same_bytes(workspace: Path) -> None:
    first = contents(train(workspace).out)
    assert set(first) == {"model.safetensors", "config.json", "history.json", "manifest.json"}
    history = json.loads(first["history.json"])
    assert [record["step"] for record in history["steps"]] == [2, 4, 6, 8]
    assert "val_psnr" in history["steps"][-1]
    assert not {"time", "seconds"} & set(history["steps"][0])
    assert history["left_out"] == []
    metrics = (workspace / "run/train_worldrec/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == [2, 4, 6, 8]
    shutil.rmtree(workspace / "resume")
    shutil.rmtree(workspace / "artifacts/train_worldrec")
    assert contents(train(workspace).out) == first


def test_data_that_were_found_unfit_are_not_trained_on(workspace: Path) -> None:
    judge(workspace, fit=False)
    with pytest.raises(UnfitDataError, match="not today"):
        train(workspace)


def test_held_out_frames_are_never_read_by_training(workspace: Path) -> None:
    """With the held-out frame's bytes destroyed, training works as before and ends with the same weights."""
    untouched = contents(train(workspace).out)["model.safetensors"]
    assert blot_out(workspace, "one_drive-0-000", frame=1) >= 6
    shutil.rmtree(workspace / "resume")
    assert contents(train(workspace).out)["model.safetensors"] == untouched
    assert blot_out(workspace, "one_drive-0-000", frame=2) >= 6
    shutil.rmtree(workspace / "resume")
    with pytest.raises(Exception, match="one_drive-0-000"):
        train(workspace)


def test_a_stop_saves_and_the_next_run_ends_with_the_same_weights(workspace: Path) -> None:
    whole = contents(train(workspace).out)
    shutil.rmtree(workspace / "resume")
    stage = open_stage(workspace, "train_worldrec", TrainWorldRecConfig.model_validate(SMALL))
    stage.progress = lambda done, total, unit: setattr(stage, "stop_requested", done == 3)  # type: ignore[method-assign]
    with pytest.raises(Preempted):
        train_worldrec.run(stage)
    assert contents(train(workspace).out) == whole


def test_without_posed_clips_training_is_not_applicable_and_so_is_reconstruction(workspace: Path) -> None:
    import pyarrow.parquet as pq

    manifest = workspace / "artifacts/prepare/clips.parquet"
    table = pq.read_table(manifest)
    keep = [split != "train" for split in table["split"].to_pylist()]
    pq.write_table(table.filter(keep), manifest)
    assert set(contents(train(workspace).out)) == {"not_applicable.json", "manifest.json"}
    stage = rebuild(workspace)
    reason = json.loads((stage.out / "not_applicable.json").read_text())["reason"]
    assert "no model" in reason


def test_reconstruction_renders_the_target_frames_of_held_out_and_same_log_clips(workspace: Path) -> None:
    trained = train(workspace)
    out = rebuild(workspace).out
    index = json.loads((out / "index.json").read_text())
    assert index["model_sha256"] == hashlib.sha256((trained.out / "model.safetensors").read_bytes()).hexdigest()
    by_source = {entry["source"]: entry for entry in index["clips"]}
    assert by_source["one_drive"]["same_log"] is True
    assert by_source["one_drive"]["context_frames"] == [0, 2]
    assert by_source["one_drive"]["target_frames"] == [1]
    assert by_source["synthetic"]["same_log"] is False
    assert by_source["synthetic"]["context_frames"] == [0, 5]
    for entry in index["clips"]:
        renders = load_file(out / "renders" / f"{entry['clip_id']}.safetensors")
        shape = (len(entry["target_frames"]), 3, 16, 24)
        assert renders["rgb"].shape == (*shape, 3) and renders["rgb"].dtype == np.uint8
        assert renders["depth"].shape == renders["alpha"].shape == shape
        assert float(np.abs(renders["depth"][renders["alpha"] < 0.5]).sum()) == 0.0
        gaussians = load_file(out / "gaussians" / f"{entry['clip_id']}.safetensors")
        assert {len(values) for values in gaussians.values()} == {entry["n_gaussians"]}
        assert {"means", "quats", "scales", "opacities", "colors", "velocities"} <= set(gaussians)


def test_reconstruction_goes_on_after_a_stop_and_ends_with_the_same_bytes(workspace: Path) -> None:
    train(workspace)
    whole = contents(rebuild(workspace, ("val", "test")).out)
    for name in ("artifacts/reconstruct", "resume/reconstruct"):
        shutil.rmtree(workspace / name)
    stage = open_stage(workspace, "reconstruct", ReconstructConfig.model_validate({"splits": ("val", "test")}))
    stage.stop_requested = True
    with pytest.raises(Preempted):
        reconstruct.run(stage)
    assert len([path for path in stage.resume_dir.iterdir() if path.is_dir()]) == 1
    shutil.rmtree(stage.out)
    assert contents(rebuild(workspace, ("val", "test")).out) == whole
