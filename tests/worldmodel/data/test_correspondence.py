"""The same surface in two images: by hand on a wall, and on the synthetic world, whose depth and poses are exact."""

from dataclasses import replace

import numpy as np
import pytest

from tests.worldmodel.data.wall import FAR_M, H, W, wall_clip
from worldmodel.data.correspondence import same_surface, why_no_surfaces
from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.errors import DataError


@pytest.fixture(scope="module")
def street() -> Clip:
    config = SyntheticConfig(logs=2, clips_per_log=1, frames=4, weathers=("clear",), times_of_day=("day",))
    return SyntheticSource(config, seed=0).read_log("synthetic-0001")[0]


def test_a_camera_one_metre_to_the_right_sees_the_wall_three_pixels_to_the_left() -> None:
    found = same_surface(wall_clip(), (0, 0), (0, 1))
    rows, columns = np.divmod(found.pixels, W)
    assert sorted(set(columns)) == list(range(3, W)) and len(found) == H * (W - 3)
    best = np.take_along_axis(found.corners, found.shares.argmax(0)[None], 0)[0]
    np.testing.assert_array_equal(best, rows * W + columns - 3)
    np.testing.assert_allclose(found.shares.sum(0), 1.0)


def test_the_difference_is_zero_on_one_texture_and_what_was_added_where_it_was_added() -> None:
    clip = wall_clip()
    image, other = clip.rgb[0].astype(float)
    found = same_surface(clip, (0, 0), (0, 1))
    np.testing.assert_allclose(found.difference(image, other), 0.0, atol=1e-9)
    np.testing.assert_allclose(found.difference(image + 7, other), 7.0)


def test_what_is_hidden_moves_or_is_sky_on_either_side_is_not_the_same_surface() -> None:
    for name, value in (("depth", FAR_M / 2), ("dynamic", True), ("depth", 0.0)):
        for camera, column, lost in ((0, 10, 10), (1, 7, 10)):
            clip = wall_clip()
            getattr(clip, name)[0, camera, :, column] = value
            found = same_surface(clip, (0, 0), (0, 1))
            assert lost not in found.pixels % W, (name, camera)
            assert len(found) >= H * (W - 6)


def test_views_that_share_nothing_give_nothing() -> None:
    clip = wall_clip()
    assert clip.world_from_camera is not None
    clip.world_from_camera[0, 1, 0, 3] = 100.0
    assert len(same_surface(clip, (0, 0), (0, 1))) == 0


@pytest.mark.parametrize(("view", "other"), [((1, 0), (1, 1)), ((1, 1), (1, 2)), ((0, 1), (3, 1))])
def test_the_streets_surfaces_have_one_colour_in_both_views_and_another_elsewhere(
    street: Clip, view: tuple[int, int], other: tuple[int, int]
) -> None:
    found = same_surface(street, view, other)
    here, there = street.rgb[view] / 255.0, street.rgb[other] / 255.0
    assert len(found) > 0.05 * here[..., 0].size
    right, wrong = found.difference(here, there), found.difference(here, np.roll(there, 3, 1))
    assert -10 * np.log10((right**2).mean()) > 24
    assert (right**2).mean() < 0.5 * (wrong**2).mean()


def test_a_clip_that_lacks_something_is_refused_by_name() -> None:
    lacking = {"depth": "no true depth", "dynamic": "no dynamic mask", "Ks": "no camera poses"}
    for name, reason in lacking.items():
        clip = replace(wall_clip(), **{name: None})  # type: ignore[arg-type]
        assert why_no_surfaces(clip) == reason
        with pytest.raises(DataError, match=f"wall(.|\n)*{reason}"):
            same_surface(clip, (0, 0), (0, 1))
    assert why_no_surfaces(replace(wall_clip(), depth_kind="lidar")) == "true depth is lidar, not dense"
    assert why_no_surfaces(wall_clip()) is None
