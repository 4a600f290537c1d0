from dataclasses import replace

import numpy as np
import pytest

from evaluation.baselines import nearest_context, nearest_context_frame, oracle_reprojection, why_no_oracle
from evaluation.metrics.image import psnr, unit_rgb


@pytest.mark.parametrize(("target", "nearest"), [(1, 0), (2, 0), (3, 5), (4, 5), (7, 5), (8, 10), (19, 15), (12, 10)])
def test_the_nearest_context_frame_of_storms_protocol(target, nearest):
    assert nearest_context_frame(target, (0, 5, 10, 15)) == nearest


def test_of_two_equally_near_frames_the_earlier_is_taken():
    assert nearest_context_frame(1, (0, 2)) == 0
    assert nearest_context_frame(1, (2, 0)) == 0


def test_nearest_context_is_the_same_camera(make_clip):
    clip = make_clip()
    assert (nearest_context(clip, 4, 1, (0, 3, 6)) == clip.rgb[3, 1]).all()


def test_the_oracle_is_exact_where_nothing_moves(make_clip):
    """Both cameras stand at one place, so true depth takes every pixel of a still scene to itself."""
    clip = make_clip()
    still = replace(clip, rgb=np.broadcast_to(clip.rgb[:1, :1], clip.rgb.shape))
    assert psnr(oracle_reprojection(still, 1, 0, (0, 3, 6)), still.rgb[1, 0]) > 60


def test_where_no_context_camera_saw_the_surface_the_oracle_is_nearest_context(make_clip):
    clip = make_clip()
    depth = clip.depth.copy()
    depth[1] = np.where(depth[1] > 0, 90.0, 0.0)  # a wall no other frame has
    oracle = oracle_reprojection(replace(clip, depth=depth), 1, 0, (0, 3, 6))
    wall = clip.depth[1, 0] > 0
    np.testing.assert_array_equal(oracle[wall], unit_rgb(clip.rgb[0, 0])[wall])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"Ks": None}, "no camera poses"),
        ({"depth": None, "depth_kind": None}, "no true depth"),
        ({"depth_kind": "lidar"}, "true depth is lidar, not dense"),
    ],
)
def test_without_dense_depth_and_poses_there_is_no_oracle_and_a_reason(make_clip, changes, reason):
    assert why_no_oracle(replace(make_clip(), **changes)) == reason
