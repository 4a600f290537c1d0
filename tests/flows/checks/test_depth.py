from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flows.checks.depth import depth_error_between_cameras, depth_error_between_frames, depth_error_to_points
from worldmodel.data.schema import Clip

MEASURES = (depth_error_between_frames, depth_error_between_cameras, depth_error_to_points)


@pytest.mark.parametrize("measure", MEASURES)
def test_exact_dense_depth_agrees_to_a_thousandth(measure: Any, clips: list[Clip]) -> None:
    assert measure(clips[0]) < 1e-3


@pytest.mark.parametrize("measure", MEASURES)
def test_sparse_depth_agrees_to_a_tenth_on_coarse_pixels(measure: Any, street: Any) -> None:
    assert 0 < measure(street.as_lidar(street.clip(0))) < 0.1


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("kind", ["dense", "lidar"])
def test_poses_of_another_camera_disagree(measure: Any, kind: str, street: Any) -> None:
    clip = street.clip(0) if kind == "dense" else street.as_lidar(street.clip(0))
    assert measure(replace(clip, world_from_camera=clip.world_from_camera[:, [1, 0, 2]])) > 0.1


def test_the_error_to_points_is_the_error_of_the_scale(clips: list[Clip]) -> None:
    assert clips[0].depth is not None
    scaled = replace(clips[0], depth=clips[0].depth * np.float32(1.25))
    assert depth_error_to_points(scaled) == pytest.approx(0.2, abs=0.002)


def test_depth_that_turns_with_the_camera_disagrees_between_frames(clips: list[Clip]) -> None:
    assert clips[0].world_from_camera is not None
    poses = clips[0].world_from_camera.copy()
    poses[-1, :, :3, :3] = poses[-1, [1, 2, 0], :3, :3]
    assert depth_error_between_frames(replace(clips[0], world_from_camera=poses)) > 0.2  # type: ignore[operator]


def test_what_moves_is_left_out(clips: list[Clip]) -> None:
    clip = clips[0]
    assert clip.depth is not None
    depth = clip.depth.copy()
    depth[:, :, 20:, :] *= np.linspace(1, 0.3, len(depth), dtype=np.float32)[:, None, None, None]
    dynamic = np.zeros(depth.shape, bool)
    dynamic[:, :, 20:, :] = True
    assert depth_error_between_frames(replace(clip, depth=depth)) > 0.05  # type: ignore[operator]
    assert depth_error_between_frames(replace(clip, depth=depth, dynamic=dynamic)) < 1e-3  # type: ignore[operator]


def test_cameras_that_share_nothing_have_nothing_to_compare(street: Any) -> None:
    clip = street.clip(0)
    apart = replace(
        clip,
        cameras=clip.cameras[::2],
        rgb=clip.rgb[:, ::2, :, :20],
        depth=clip.depth[:, ::2, :, :20],
        dynamic=None,
        Ks=clip.Ks[::2],
        world_from_camera=clip.world_from_camera[:, ::2],
    )
    assert depth_error_between_cameras(replace(apart, depth=np.zeros_like(apart.depth))) is None
    assert depth_error_between_frames(replace(apart, depth=np.zeros_like(apart.depth))) is None


def test_a_single_frame_has_no_neighbour(street: Any) -> None:
    clip = street.clip(0, frames=1)
    assert depth_error_between_frames(clip) is None
    assert depth_error_between_cameras(clip) < 1e-3
