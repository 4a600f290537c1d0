"""The layout raster: what is drawn where, and when there is nothing to draw."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worldmodel.data.layout import PERSON, VEHICLE, layout_of
from worldmodel.data.schema import Box, Clip
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource

FORWARD = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])  # 1.5 m above the ego's origin
FRAMES = 8


@pytest.fixture
def empty() -> Clip:
    """A street with nothing on it, no lanes and no boxes; the ego stands still."""
    ego = np.tile(np.eye(4), (FRAMES, 1, 1))
    return Clip(
        clip_id="hand-000",
        log_id="hand",
        source="hand",
        licence="CC0-1.0",
        cameras=("front",),
        rate_hz=10.0,
        times_s=np.arange(FRAMES) / 10,
        rgb=np.zeros((FRAMES, 1, 32, 48, 3), np.uint8),
        Ks=np.array([[[20.0, 0, 24], [0, 20, 16], [0, 0, 1]]]),
        world_from_camera=(ego @ FORWARD)[:, None],
        world_from_ego=ego,
    )


def with_boxes(clip: Clip, *boxes: Box) -> Clip:
    return replace(clip, boxes=(boxes,) * FRAMES)


def driving(clip: Clip, metres_a_frame: float = 2.0) -> Clip:
    ego = np.tile(np.eye(4), (FRAMES, 1, 1))
    ego[:, 0, 3] = metres_a_frame * np.arange(FRAMES)
    return replace(clip, world_from_ego=ego, world_from_camera=(ego @ FORWARD)[:, None], lanes=())


def box(category: str, x: float, y: float, z: float, size: tuple[float, float, float]) -> Box:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return Box(f"{category}-{x}", category, pose, size)


def drawn(clip: Clip, frame: int = 0) -> Any:
    layout = layout_of(clip, 0, [frame])
    assert layout is not None
    return layout[0]


def test_a_car_ahead_shows_its_back_where_the_pinhole_puts_it(empty: Clip) -> None:
    """Its back is 2 m square, 10 m ahead at the camera's height: 4 px around the principal point, a shade of green."""
    pixels = drawn(with_boxes(empty, box("car", 12.0, 0.0, 1.5, (4.0, 2.0, 2.0))))
    assert (pixels[15:17, 23:25] == np.rint(np.array(VEHICLE) * 0.55)).all()
    rows, columns = np.nonzero(pixels.any(-1))
    assert rows.min() >= 13 and rows.max() <= 18 and columns.min() >= 21 and columns.max() <= 26


def test_a_truck_beside_the_camera_is_cut_at_the_near_plane(empty: Clip) -> None:
    """From 2 m behind to 6 m ahead, 1 m to the left: its side ends at column 24 - 20 / 6, and nothing is mirrored."""
    pixels = drawn(with_boxes(empty, box("truck", 2.0, 2.0, 1.5, (8.0, 2.0, 3.0))))
    assert (pixels[16, :20, 1] > 100).all()
    assert not pixels[:, 22:].any()


def test_the_nearer_box_covers_the_farther_one_in_whatever_order_they_are_listed(empty: Clip) -> None:
    person = box("pedestrian", 6.0, 0.0, 1.5, (0.5, 1.0, 2.0))
    bus = box("bus", 20.0, 0.0, 1.5, (10.0, 5.0, 3.0))
    pixels = drawn(with_boxes(empty, person, bus))
    assert (pixels[16, 24] == np.rint(np.array(PERSON) * 0.55)).all()
    assert pixels[16, 22, 1] < pixels[16, 21, 1]  # the person's edge, then the bus
    np.testing.assert_array_equal(pixels, drawn(with_boxes(empty, bus, person)))


def test_a_lane_line_is_red_on_the_ground(empty: Clip) -> None:
    """1 m to the left: at 10 m ahead it is 2 px left of and 3 px below the principal point."""
    pixels = drawn(replace(empty, lanes=(np.array([[-5.0, 1, 0], [10, 1, 0], [40, 1, 0]]),)))
    assert pixels[18:20, 21:23, 0].max() > 150
    assert not pixels[..., 1:].any() and not pixels[:, 25:].any() and not pixels[:15].any()


def test_the_path_to_come_is_a_blue_swath_that_darkens_with_time(empty: Clip) -> None:
    """A car's width of 1.9 m at 4 m is 9.5 px; the last footprint, at 14 m, is 2 px below the horizon's row."""
    pixels = drawn(driving(empty)).astype(int)
    row = int(16 + 20 * 1.5 / 4)
    assert (pixels[row, 20:28, 2] > 150).all() and not pixels[row, :18].any() and not pixels[row, 30:].any()
    assert (pixels[row, 20:28, 2] > pixels[row, 20:28, 0] + 50).all()
    assert pixels[30, 24].sum() > pixels[19, 24].sum() > 0
    assert not pixels[:17].any()


def test_the_swath_gets_shorter_and_a_car_on_it_hides_it(empty: Clip) -> None:
    clip = driving(empty)
    areas = [drawn(clip, frame).any(-1).sum() for frame in (0, 4, FRAMES - 1)]
    assert areas[0] > areas[1] > areas[2] == 0
    ahead = drawn(with_boxes(clip, box("car", 8.0, 0.0, 1.0, (4.0, 2.0, 2.0))))
    assert (ahead[19, 24] == np.rint(np.array(VEHICLE) * 0.55)).all() and drawn(clip)[19, 24, 2] > 100


def test_a_recorded_layout_is_taken_as_it_is(empty: Clip) -> None:
    video = np.random.default_rng(0).integers(0, 255, empty.rgb.shape, np.uint8)
    clip = with_boxes(replace(empty, layout_rgb=video), box("car", 12.0, 0.0, 1.5, (4.0, 2.0, 2.0)))
    np.testing.assert_array_equal(layout_of(clip, 0, [3, 1]), video[[3, 1], 0])


def test_without_a_layout_video_poses_or_annotations_there_is_no_layout(empty: Clip) -> None:
    assert layout_of(empty, 0, [0]) is None
    annotated = with_boxes(empty)
    assert layout_of(annotated, 0, [0]) is not None
    assert layout_of(replace(annotated, Ks=None), 0, [0]) is None
    assert layout_of(replace(annotated, world_from_camera=None), 0, [0]) is None


def test_boxes_lie_over_what_moves_in_a_synthetic_clip() -> None:
    """Pixels of moving agents, which the renderer marks, are inside their boxes but for rounding at the edges."""
    config = SyntheticConfig(logs=3, clips_per_log=1, frames=2, height=32, width=48)
    clip = SyntheticSource(config, 7).read_log("synthetic-0002")[0]
    assert clip.dynamic is not None
    cameras = range(len(clip.cameras))
    layouts = [layout_of(clip, camera, range(2)) for camera in cameras]
    again = [layout_of(clip, camera, range(2)) for camera in cameras]
    np.testing.assert_array_equal(layouts, again)
    covered = np.stack([layout[..., 0:2].any(-1) for layout in layouts if layout is not None], 1)
    assert clip.dynamic.sum() > 20
    assert covered[clip.dynamic].mean() > 0.95
    assert covered.mean() < 0.5
