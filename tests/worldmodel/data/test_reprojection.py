"""Reprojection on the synthetic world, whose depth and poses are exact: still surfaces must land where they are."""

from dataclasses import replace

import numpy as np
import pytest

from worldmodel.data.reprojection import reproject_context
from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.errors import DataError


@pytest.fixture(scope="module")
def clip() -> Clip:
    config = SyntheticConfig(logs=2, clips_per_log=1, frames=6, weathers=("clear",), times_of_day=("day",))
    return SyntheticSource(config, seed=0).read_log("synthetic-0001")[0]


def _error(rgb: np.ndarray, clip: Clip, frame: int, camera: int, where: np.ndarray) -> float:
    return float(((rgb - clip.rgb[frame, camera] / 255.0)[where] ** 2).mean())


def test_an_image_reprojected_from_itself_is_itself(clip: Clip) -> None:
    alone = replace(
        clip,
        cameras=clip.cameras[1:2],
        rgb=clip.rgb[:, 1:2],
        **{name: getattr(clip, name)[:, 1:2] for name in ("depth", "sky", "dynamic", "world_from_camera")},
        Ks=clip.Ks[1:2],  # type: ignore[index]
    )
    rgb, valid = reproject_context(alone, 3, 0, (3,))
    assert valid.all()
    assert rgb.dtype == np.float32
    np.testing.assert_allclose(rgb, clip.rgb[3, 1] / 255.0, atol=2e-3)


@pytest.mark.parametrize("camera", [0, 1, 2])
def test_still_surfaces_agree_between_frames(clip: Clip, camera: int) -> None:
    rgb, valid = reproject_context(clip, 2, camera, (0, 5))
    still = valid & ~clip.dynamic[2, camera]  # type: ignore[index]
    assert valid.mean() > 0.85
    copied = _error(clip.rgb[0, camera] / 255.0, clip, 2, camera, still)
    moved = _error(rgb, clip, 2, camera, still)
    assert -10 * np.log10(moved) > 24
    assert moved < 0.35 * copied


def test_wrong_poses_are_noticed(clip: Clip) -> None:
    assert clip.world_from_camera is not None
    poses = clip.world_from_camera.copy()
    poses[0, :, :3, 3] += 0.6 * poses[0, :, :3, 0]
    right, seen = reproject_context(clip, 1, 1, (0,))
    wrong, also_seen = reproject_context(replace(clip, world_from_camera=poses), 1, 1, (0,))
    both = seen & also_seen
    assert both.mean() < 0.95 * seen.mean()
    assert _error(wrong, clip, 1, 1, both) > 1.5 * _error(right, clip, 1, 1, both)


def test_what_no_context_image_saw_is_not_valid(clip: Clip) -> None:
    assert clip.depth is not None
    hidden = clip.depth.copy()
    hidden[0] = 0.5
    rgb, valid = reproject_context(replace(clip, depth=hidden, sky=np.zeros_like(clip.sky)), 3, 1, (0,))  # type: ignore[arg-type]
    assert not valid.any()
    assert not rgb.any()


def test_clips_without_dense_depth_are_refused(clip: Clip) -> None:
    for changes in ({"depth": None}, {"depth_kind": "lidar"}, {"Ks": None}):
        with pytest.raises(DataError, match=clip.clip_id):
            reproject_context(replace(clip, **changes), 1, 0, (0,))  # type: ignore[arg-type]
