import numpy as np
import pytest

from evaluation.metrics.revisit import revisit_psnr, revisits
from tests.worldmodel.data.wall import wall_clip


def test_a_wall_that_is_passed_looks_the_same_and_a_repeated_frame_does_not():
    clip = wall_clip(steps_m=1.0)
    found = revisits(clip, 0)
    assert [frame for frame, _ in found] == [1, 2]
    video = clip.rgb[:, 0]
    assert revisit_psnr(found, video) == 100.0
    assert revisit_psnr(found, np.repeat(video[:1], 3, 0)) < 15.0


def test_the_value_is_the_mean_over_the_frames_that_show_the_surfaces_again():
    clip = wall_clip(steps_m=1.0)
    video = (clip.rgb[:, 0] / 255.0).copy()
    video[1] += 0.1
    assert revisit_psnr(revisits(clip, 0), video) == pytest.approx((20.0 + 100.0) / 2)


def test_moving_pixels_are_no_surface_that_is_seen_again():
    clip = wall_clip(steps_m=1.0)
    video = clip.rgb[:, 0].copy()
    video[1, :, 4:6], video[2, :, 8:10] = 255, 0
    assert revisit_psnr(revisits(clip, 0), video) < 100.0
    clip.dynamic[1, 0, :, 4:6] = clip.dynamic[2, 0, :, 8:10] = True
    assert revisit_psnr(revisits(clip, 0), video) == 100.0


def test_frames_that_show_none_of_it_are_left_out():
    assert [frame for frame, _ in revisits(wall_clip(steps_m=5.0), 0)] == [1]
    assert revisits(wall_clip(steps_m=10.0), 0) == []
    with pytest.raises(ValueError, match="no frame"):
        revisit_psnr([], wall_clip().rgb[:, 0])
