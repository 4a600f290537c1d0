"""The stage render_priors on a few clips of the toy world and a small WorldRec that was never trained."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from flows.manifest import write_manifest
from flows.stage import Stage
from flows.stages import render_priors
from tests.worldmodel.worldrec.toy import make_clip
from worldmodel.data.manifest import ClipRow, Split, describe_clip
from worldmodel.data.manifest import write_manifest as write_clips
from worldmodel.data.schema import Clip
from worldmodel.data.shards import pack_clip, write_shard
from worldmodel.errors import Preempted
from worldmodel.joint.config import RenderPriorsConfig
from worldmodel.worldrec.config import LatticeConfig, WorldRecConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.weights import save_worldrec


def prepare(root: Path, clips: list[tuple[Clip, Split, list[int]]]) -> None:
    """Writes (clip, split, held-out frames) as the prepare stage does."""
    out = root / "artifacts/prepare"
    packed = [pack_clip(clip) for clip, _, _ in clips]
    offsets = write_shard(out / "shards/shard-00000.tar", [clip.data for clip in packed])
    rows: list[ClipRow] = [
        {
            **describe_clip(clip),
            "split": split,
            "heldout_frames": heldout,
            "shard": "shard-00000.tar",
            "offset": offset,
            "byte_size": len(bytes_.data),
            "sha256": bytes_.sha256,
        }
        for (clip, split, heldout), bytes_, offset in zip(clips, packed, offsets, strict=True)
    ]
    write_clips(out / "clips.parquet", rows)
    write_manifest(out, "prepare")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with three clips with poses, one of them of a single log, one without poses and one of one frame."""
    unposed = replace(make_clip("unposed"), Ks=None, world_from_camera=None, world_from_ego=None)
    prepare(
        tmp_path,
        [
            (make_clip("drive"), "train", []),
            (make_clip("short", frames=3, cameras=3, source="recorded", seed=1), "train", [1]),
            (make_clip("other", seed=2), "test", []),
            (unposed, "train", []),
            (make_clip("single", frames=1), "test", []),
        ],
    )
    torch.manual_seed(0)
    lattice = LatticeConfig(azimuths=6, pitches=2, shells=2)
    config = WorldRecConfig(channels=(8, 16), width=8, grid=2, rounds=1, depth_bins=8, sky_width=8, lattice=lattice)
    trained = tmp_path / "artifacts/train_worldrec"
    trained.mkdir()
    save_worldrec(WorldRec(config), trained)
    write_manifest(trained, "train_worldrec")
    return tmp_path


def open_stage(root: Path, **params: Any) -> Stage[RenderPriorsConfig]:
    directories = [root / parent / "render_priors" for parent in ("artifacts", "run", "resume")]
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    return Stage("render_priors", RenderPriorsConfig.model_validate(params), 0, 1, root, *directories)


def run(root: Path, **params: Any) -> Path:
    stage = open_stage(root, **params)
    render_priors.run(stage)
    return stage.out


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def read(out: Path, file: str = "index.json") -> Any:
    return json.loads((out / file).read_text())


def test_every_posed_clip_gets_a_prior_and_every_other_a_reason(root: Path) -> None:
    out = run(root, cameras={"recorded": ["camera2", "camera0"]})
    index = read(out)
    weights = (root / "artifacts/train_worldrec/model.safetensors").read_bytes()
    assert index["model_sha256"] == hashlib.sha256(weights).hexdigest()
    assert {entry["clip_id"]: entry["cameras"] for entry in index["clips"]} == {
        "drive": ["camera0", "camera1"],
        "short": ["camera0", "camera2"],
        "other": ["camera0", "camera1"],
    }
    assert {entry["clip_id"]: entry["reason"] for entry in index["left_out"]} == {
        "unposed": "no camera poses",
        "single": "no frame after the first",
    }
    for entry, frames in zip(index["clips"], (8, 3, 8), strict=True):
        prior = load_file(out / "priors" / f"{entry['clip_id']}.safetensors")
        assert prior["rgb"].shape == (frames, 2, 16, 24, 3) and prior["rgb"].dtype == np.uint8
        assert prior["alpha"].shape == (frames, 2, 16, 24) and prior["alpha"].dtype == np.uint8
        assert not prior["rgb"][prior["alpha"] < 128].any()
        assert entry["history"] == [0]
        assert entry["coverage"] == pytest.approx((prior["alpha"][1:] >= 128).mean())


def test_the_psnr_is_averaged_by_source_and_split(root: Path) -> None:
    index = read(run(root))
    psnr = {entry["clip_id"]: entry["psnr"] for entry in index["clips"]}
    assert index["psnr_by_split"] == {
        "toy": {"train": psnr["drive"], "test": psnr["other"]},
        "recorded": {"train": psnr["short"]},
    }


def test_splits_cameras_and_frames_can_be_limited(root: Path) -> None:
    out = run(root, splits=["train"], max_frames=2, cameras={"recorded": ["rear"]})
    index = read(out)
    assert [entry["clip_id"] for entry in index["clips"]] == ["drive"]
    reasons = {entry["clip_id"]: entry["reason"] for entry in index["left_out"]}
    assert reasons == {"unposed": "no camera poses", "short": "none of the cameras rear"}
    assert load_file(out / "priors/drive.safetensors")["rgb"].shape[0] == 2


def test_the_stage_goes_on_after_a_stop_and_ends_with_the_same_bytes(root: Path) -> None:
    whole = contents(run(root))
    for directory in ("artifacts", "resume"):
        shutil.rmtree(root / directory / "render_priors")
    stage = open_stage(root)
    stage.stop_requested = True
    with pytest.raises(Preempted):
        render_priors.run(stage)
    (kept,) = stage.resume_dir.iterdir()
    before = (kept / "entry.json").stat().st_mtime_ns
    shutil.rmtree(stage.out)
    assert contents(run(root)) == whole
    assert (kept / "entry.json").stat().st_mtime_ns == before


def test_without_a_model_or_a_posed_clip_the_stage_is_not_applicable(root: Path) -> None:
    out = run(root, splits=["val"])
    assert set(contents(out)) == {"not_applicable.json"}
    assert "none of 0 clips" in read(out, "not_applicable.json")["reason"]
    (root / "artifacts/train_worldrec/not_applicable.json").write_text('{"reason": "no posed clip"}')
    assert "no model" in read(run(root), "not_applicable.json")["reason"]
