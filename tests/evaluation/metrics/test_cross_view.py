import numpy as np
import pytest

from evaluation.metrics.cross_view import cross_view_psnr, shared_surfaces
from tests.worldmodel.data.wall import H, W, wall_clip


def test_cameras_that_show_one_wall_agree_up_to_the_cap_and_an_exposure_difference_counts():
    clip = wall_clip()
    left, right = (image / 255.0 for image in clip.rgb[0])
    shared = shared_surfaces(clip, 0, 0, [1])
    assert cross_view_psnr(shared, left, {1: right}) == 100.0
    assert cross_view_psnr(shared, left, {1: right + 0.1}) == pytest.approx(20.0)


def test_what_only_one_camera_shows_does_not_count():
    clip = wall_clip()
    left, right = clip.rgb[0].copy()
    left[:, :3], right[:, -3:] = 255, 255
    assert cross_view_psnr(shared_surfaces(clip, 0, 0, [1]), left, {1: right}) == 100.0


def test_pixels_of_all_other_cameras_are_pooled():
    clip = wall_clip()
    shared = shared_surfaces(clip, 0, 0, [1])
    twice = {1: shared[1], 2: shared[1]}
    right = clip.rgb[0, 1] / 255.0
    value = cross_view_psnr(twice, clip.rgb[0, 0], {1: right, 2: right + 0.1})
    assert value == pytest.approx(-10 * np.log10(0.01 / 2))


def test_cameras_that_share_too_little_are_not_compared():
    assert len(shared_surfaces(wall_clip(apart_m=19 / 3), 0, 0, [1])[1]) == H
    clip = wall_clip(apart_m=19 / 3)
    clip.dynamic[0, 0, 1:, -1] = True
    assert 1 / (H * W) < 0.01 and shared_surfaces(clip, 0, 0, [1]) == {}
    with pytest.raises(ValueError, match="no surface is shared"):
        cross_view_psnr({}, clip.rgb[0, 0], {})
