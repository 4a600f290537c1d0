from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flows.checks.colour import image_agreement
from worldmodel.data.schema import Clip


@pytest.mark.parametrize("sparse", [False, True])
def test_exchanged_images_lower_the_agreement_though_depth_still_fits(sparse: bool, street: Any) -> None:
    clip = street.as_lidar(street.clip(1)) if sparse else street.clip(1)
    assert image_agreement(clip) > 0.75
    assert image_agreement(replace(clip, rgb=clip.rgb[:, [1, 0, 2]])) < 0.3


def test_another_exposure_of_one_camera_changes_little(clips: list[Clip]) -> None:
    rgb = clips[1].rgb.copy()
    rgb[:, 0] //= 2
    assert image_agreement(replace(clips[1], rgb=rgb)) == pytest.approx(image_agreement(clips[1]), abs=0.01)


def test_cameras_that_see_nothing_together_have_no_agreement(street: Any) -> None:
    clip = street.clip(0)
    assert image_agreement(replace(clip, depth=np.zeros_like(clip.depth))) is None


def test_blank_images_have_no_agreement(clips: list[Clip]) -> None:
    assert image_agreement(replace(clips[0], rgb=np.full_like(clips[0].rgb, 90))) is None
