"""Joint measures of rollouts of the synthetic world: what is measured of which sample, and why the rest is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation.generation.joint import JointMetrics, joint_metrics
from evaluation.generation.rollouts import Rollouts, methods_of, read_rollouts
from evaluation.metrics.catalogue import VIDEO_METRICS
from tests.evaluation.generation.toy import edit_index, open_rollouts
from worldmodel.data.manifest import describe_clip, write_manifest
from worldmodel.data.schema import Clip
from worldmodel.data.shards import pack_clip, write_shard
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.errors import DataError

CROSS, REVISIT, SPREAD = "video/cross-view-psnr", "video/revisit-psnr", "video/seed-spread"
FOLLOWING, YAW = "video/action-following", "video/action-yaw"
SAMPLES = [("drive", "front"), ("drive", "front_left"), ("parked", "front"), ("lidar", "front")]
FRAMES = 7


def world() -> list[Clip]:
    """A drive; the same without motion; and the drive with depth where a LiDAR hit."""
    config = SyntheticConfig(logs=2, clips_per_log=1, frames=FRAMES, weathers=("clear",), times_of_day=("day",))
    drive = SyntheticSource(config, seed=0).read_log("synthetic-0001")[0]
    still = {
        name: np.repeat(getattr(drive, name)[:1], FRAMES, 0)
        for name in ("rgb", "depth", "sky", "dynamic", "world_from_camera")
    }
    parked, lidar = replace(drive, **still), replace(drive, depth_kind="lidar")
    return [replace(clip, clip_id=n, log_id=n) for n, clip in (("drive", drive), ("parked", parked), ("lidar", lidar))]


def write_prepare(root: Path, clips: list[Clip]) -> Path:
    packed = [pack_clip(clip) for clip in clips]
    offsets = write_shard(root / "shards" / "shard-00000.tar", [p.data for p in packed])
    rows = []
    for clip, one, offset in zip(clips, packed, offsets, strict=True):
        place = {"shard": "shard-00000.tar", "offset": offset, "byte_size": len(one.data), "sha256": one.sha256}
        rows.append({**describe_clip(clip), "split": "test", "heldout_frames": [], **place})
    write_manifest(root / "clips.parquet", rows)
    return root


def write_videos(root: Path, clips: list[Clip]) -> Path:
    """`dmd` is the truth 5 levels darker (30 to the left), 10 by its further seed; the tokenizer takes a level."""
    samples, by_name = [], {clip.clip_id: clip for clip in clips}
    for name, camera in SAMPLES:
        clip, sample_id = by_name[name], f"{name}.{camera}.000"
        truth = clip.rgb[:, clip.cameras.index(camera)].astype(int)
        made = {"repeat_last_frame": np.repeat(truth[:1], FRAMES, 0), "tokenizer": truth - 1}
        made |= {"dmd": truth - (30 if camera == "front_left" else 5), "dmd_seed_1": truth - 10}
        for folder, video in made.items():
            path = root / "videos" / folder / f"{sample_id}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"rgb": video.clip(0, 255).astype(np.uint8)}, path)
        place = {"clip_id": name, "log_id": name, "source": clip.source, "camera": camera, "split": "test"}
        samples.append({"sample_id": sample_id, "same_log": False, "role": "generated", **place})
        samples[-1]["frame_indices"] = list(range(FRAMES))
    methods = [{"name": "repeat_last_frame"}, {"name": "dmd", "steps": 4, "weights_sha256": "b" * 64}]
    spread = {"method": "dmd", "folders": ["dmd_seed_1"], "sample_ids": ["drive.front.000", "parked.front.000"]}
    index = {"frames": FRAMES, "rate_hz": 10.0, "methods": methods, "samples": samples, "spread": spread}
    (root / "index.json").write_text(json.dumps(index | {"tokenizer_sha256": "c" * 64}))
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Rollouts:
    root, clips = tmp_path_factory.mktemp("joint"), world()
    return open_rollouts(write_videos(root / "rollout", clips), write_prepare(root / "prepare", clips))


@pytest.fixture(scope="module")
def found(made: Rollouts) -> JointMetrics:
    return joint_metrics(made, methods_of(made.index), made.index.samples)


@pytest.fixture
def edited(made: Rollouts, tmp_path: Path) -> Callable[..., Rollouts]:
    """The rollouts with another index, and no videos."""

    def edit(change: Callable[[dict[str, object]], None]) -> Rollouts:
        (tmp_path / "index.json").write_text((made.root / "index.json").read_text())
        edit_index(tmp_path, change)
        return open_rollouts(tmp_path, made.store.root)

    return edit


def test_true_frames_repeated_ones_and_the_truth_a_little_darker_are_in_their_order(found):
    true, repeated, dmd = (found.values[name] for name in ("true_frames", "repeat_last_frame", "dmd"))
    sample = "drive.front.000"
    assert true[FOLLOWING][sample] >= 0.9 and dmd[FOLLOWING][sample] >= 0.85
    assert repeated[FOLLOWING][sample] == pytest.approx(0.0, abs=1e-12)
    assert true[YAW][sample] <= 2.0
    assert true[REVISIT][sample] > repeated[REVISIT][sample] + 5
    assert true[CROSS][sample] == pytest.approx(repeated[CROSS][sample], abs=2)
    assert 19 < dmd[CROSS][sample] < 22 < true[CROSS][sample]
    assert dmd[REVISIT][sample] == pytest.approx(true[REVISIT][sample], abs=0.2)


def test_every_method_has_the_floors_metrics_of_the_same_samples(found):
    own = {name: {m: set(v) for m, v in by.items() if m != SPREAD} for name, by in found.values.items()}
    assert list(own) == ["true_frames", "tokenizer", "repeat_last_frame", "dmd"]
    assert all(metrics == own["true_frames"] for metrics in own.values())
    assert own["true_frames"][REVISIT] == {"drive.front.000", "drive.front_left.000", "parked.front.000"}
    assert {SPREAD, *own["dmd"]} == {CROSS, REVISIT, FOLLOWING, YAW, SPREAD} <= VIDEO_METRICS.keys()


def test_a_video_of_a_parked_car_shows_the_same_at_every_time(found):
    assert found.values["true_frames"][REVISIT]["parked.front.000"] > 60


def test_seeds_five_levels_apart_spread_by_their_standard_deviation_and_only_the_student_has_seeds(found):
    assert {name for name, by in found.values.items() if SPREAD in by} == {"dmd"}
    values = found.values["dmd"][SPREAD]
    assert values.keys() == {"drive.front.000", "parked.front.000"}
    assert values["drive.front.000"] == pytest.approx(5 / 255 / np.sqrt(2), rel=0.02)


def test_what_a_sample_lacks_is_said_and_with_the_values_makes_up_all_samples(made, found):
    lidar, parked = "true depth is lidar, not dense", "the camera moves less than 1 m in 1 s"
    assert found.left_out[REVISIT] == {lidar: ["lidar.front.000"]}
    assert found.left_out[FOLLOWING] == found.left_out[YAW]
    assert found.left_out[FOLLOWING][parked] == ["parked.front.000"]
    assert found.left_out[CROSS]["no other camera was rolled out over the same frames of its clip"] == [
        "parked.front.000"
    ]
    assert found.left_out[SPREAD] == {"it was rolled out with one seed": ["drive.front_left.000", "lidar.front.000"]}
    for metric in (CROSS, REVISIT, FOLLOWING, YAW, SPREAD):
        without = [sample for ids in found.left_out[metric].values() for sample in ids]
        every = sorted([*without, *found.values["dmd"][metric]])
        assert every == sorted(sample.sample_id for sample in made.index.samples), metric


def test_a_camera_that_was_rolled_out_alone_is_compared_with_none(made, edited):
    rollouts = edited(lambda index: index.update(samples=index["samples"][:1], spread=None))
    alone = joint_metrics(Rollouts(made.root, rollouts.index, made.store), [], rollouts.index.samples)
    assert CROSS not in alone.values["true_frames"]
    assert alone.left_out[SPREAD] == {"it was rolled out with one seed": ["drive.front.000"]}


def test_a_spread_of_a_method_or_sample_that_was_not_generated_is_refused(edited):
    for change in ({"method": "ode"}, {"sample_ids": ["other.front.000"]}):
        with pytest.raises(DataError, match=f"not generated(.|\n)*{'ode' if 'method' in change else 'other'}"):
            edited(lambda index, change=change: index["spread"].update(change))


def test_a_missing_video_of_a_seed_is_named(made, edited):
    rollouts = edited(lambda index: index["spread"].update(folders=["dmd_seed_9"]))
    moved = Rollouts(made.root, read_rollouts(rollouts.root), made.store)
    with pytest.raises(DataError, match="dmd_seed_9"):
        joint_metrics(moved, methods_of(moved.index), moved.index.samples[:1])
