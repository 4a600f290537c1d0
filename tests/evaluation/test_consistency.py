from dataclasses import replace

import numpy as np
import pytest

from evaluation.consistency import render_scores, why_no_consistency
from tests.worldmodel.data.wall import wall_clip


def test_each_camera_that_shares_a_surface_has_a_value_under_its_name():
    clip = wall_clip()
    assert render_scores(clip, 0, clip.rgb[0]) == {"image/cross-view-psnr": [("left", 100.0), ("right", 100.0)]}
    images = clip.rgb[0] / 255.0
    images[1] += 0.1
    ((camera, value), _) = render_scores(clip, 0, images)["image/cross-view-psnr"]
    assert (camera, value) == ("left", pytest.approx(20.0))


def test_the_views_are_compared_by_the_geometry_of_their_own_frame():
    clip = wall_clip()
    assert clip.world_from_camera is not None
    clip.world_from_camera[1, 1, 0, 3] = 2.0
    values = [render_scores(clip, frame, clip.rgb[0])["image/cross-view-psnr"][0][1] for frame in (0, 1)]
    assert values[0] == 100.0 and values[1] < 15.0


def test_a_nan_in_a_render_is_not_hidden():
    clip = wall_clip()
    images = clip.rgb[0] / 255.0
    images[0, 5, 10] = np.nan
    assert np.isnan([value for _, value in render_scores(clip, 0, images)["image/cross-view-psnr"]]).all()


def test_clips_whose_views_cannot_be_compared_have_no_value_and_a_reason():
    alone = wall_clip()
    alone = replace(alone, cameras=("left",), rgb=alone.rgb[:, :1])
    far = wall_clip(apart_m=10.0)
    lidar = replace(wall_clip(), depth_kind="lidar")
    reasons = ["only one camera", None, "true depth is lidar, not dense"]
    for clip, reason in zip((alone, far, lidar), reasons, strict=True):
        assert render_scores(clip, 0, clip.rgb[0]) == {}
        assert why_no_consistency(clip) == reason
