from itertools import pairwise

import numpy as np
import pytest

from worldmodel.data.clip_checks import validate_clip
from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.config import SURROUND_CAMERAS, SyntheticConfig
from worldmodel.data.synthetic.source import WORLD_VERSION, SyntheticSource
from worldmodel.errors import DataError
from worldmodel.geometry.poses import invert_pose, pixel_directions, project_points, transform_points

SMALL = SyntheticConfig(logs=3, clips_per_log=2, frames=2, height=32, width=48, lidar_azimuths=60)


def _arrays(clip: Clip) -> dict[str, bytes]:
    names = ("rgb", "depth", "sky", "dynamic", "Ks", "world_from_camera", "world_from_ego", "times_s")
    arrays = {name: getattr(clip, name).tobytes() for name in names}
    assert clip.points is not None
    return {**arrays, "points": b"".join(cloud.tobytes() for cloud in clip.points)}


def _box_poses(clips: list[Clip]) -> list[tuple[str, bytes]]:
    frames = [frame for clip in clips for frame in clip.boxes or ()]
    return [(box.track_id, box.world_from_box.tobytes()) for frame in frames for box in frame]


def test_the_same_seed_and_log_give_the_same_bytes() -> None:
    one, two = (SyntheticSource(SMALL, seed=7).read_log("synthetic-0001") for _ in range(2))
    assert [_arrays(clip) for clip in one] == [_arrays(clip) for clip in two]
    assert _box_poses(one) == _box_poses(two)
    assert [(clip.tags, clip.text, clip.clip_id) for clip in one] == [
        (clip.tags, clip.text, clip.clip_id) for clip in two
    ]


def test_another_seed_or_log_gives_other_streets() -> None:
    clips = [
        SyntheticSource(SMALL, seed=seed).read_log(log_id)[0]
        for seed, log_id in ((7, "synthetic-0000"), (7, "synthetic-0001"), (8, "synthetic-0000"))
    ]
    assert len({clip.depth.tobytes() for clip in clips if clip.depth is not None}) == 3


def test_more_clips_or_logs_leave_the_first_ones_as_they_are() -> None:
    more = SMALL.model_copy(update={"clips_per_log": 3, "logs": 9})
    few, many = (SyntheticSource(config, seed=0).read_log("synthetic-0002") for config in (SMALL, more))
    assert len(many) == 3
    assert [_arrays(clip) for clip in few] == [_arrays(clip) for clip in many[:2]]


def test_log_ids_are_numbered_and_an_unknown_one_is_named() -> None:
    source = SyntheticSource(SMALL, seed=0)
    assert source.log_ids() == ["synthetic-0000", "synthetic-0001", "synthetic-0002"]
    with pytest.raises(DataError, match="synthetic-0003"):
        source.read_log("synthetic-0003")


def test_the_digest_names_the_world_not_the_config() -> None:
    digest = SyntheticSource(SMALL, seed=0).digest()
    assert digest == SyntheticSource(SyntheticConfig(), seed=5).digest()
    assert len(digest) == 64


def test_clips_of_a_log_follow_each_other() -> None:
    first, second = SyntheticSource(SMALL, seed=0).read_log("synthetic-0000")
    assert (first.clip_id, second.clip_id) == ("synthetic-0000-000", "synthetic-0000-001")
    assert first.log_id == second.log_id == "synthetic-0000"
    assert first.world_from_ego is not None
    assert second.world_from_ego is not None
    poses = [*first.world_from_ego, *second.world_from_ego]
    steps = [np.linalg.norm(b[:3, 3] - a[:3, 3]) for a, b in pairwise(poses)]
    assert max(steps) < 1.6


def test_a_clip_has_everything_but_a_recorded_layout(day_clip: Clip) -> None:
    assert {name for name, has in day_clip.has.items() if not has} == {"layout_video"}
    assert day_clip.rgb.shape == (11, 3, 64, 96, 3)
    assert day_clip.cameras == ("front_left", "front", "front_right")
    assert day_clip.tags == {"weather": "clear", "time_of_day": "day"}
    assert day_clip.text == "Driving through a city street by day, clear sky."
    assert day_clip.depth is not None
    assert day_clip.depth.dtype == np.float32
    assert (day_clip.source, day_clip.licence, day_clip.depth_kind) == ("synthetic", "Apache-2.0", "dense")
    np.testing.assert_allclose(np.diff(day_clip.times_s), 0.1)


def test_sky_has_no_depth_and_everything_else_has(day_clip: Clip) -> None:
    assert day_clip.depth is not None
    assert day_clip.sky is not None
    assert day_clip.dynamic is not None
    np.testing.assert_array_equal(day_clip.sky, day_clip.depth == 0)
    assert day_clip.depth[~day_clip.sky].min() > 0.2
    assert day_clip.depth.max() < 511
    assert not (day_clip.sky & day_clip.dynamic).any()


def test_poses_are_rigid_and_cameras_ride_on_the_ego(day_clip: Clip) -> None:
    assert day_clip.world_from_camera is not None
    assert day_clip.world_from_ego is not None
    rotation = day_clip.world_from_camera[..., :3, :3]
    np.testing.assert_allclose(
        rotation @ np.swapaxes(rotation, -1, -2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
    mounted = invert_pose(day_clip.world_from_ego)[:, None] @ day_clip.world_from_camera
    np.testing.assert_allclose(mounted, np.broadcast_to(mounted[:1], mounted.shape), atol=1e-9)
    np.testing.assert_allclose(mounted[0, 1, :3, 2], [1, 0, 0], atol=1e-9)


def test_boxes_hold_the_pixels_of_moving_agents() -> None:
    """Each pixel of the dynamic mask, lifted by its depth, lies in the box of something that moves."""
    config = SMALL.model_copy(update={"frames": 4})
    pixels = 0
    for log_id in SyntheticSource(config, seed=0).log_ids():
        for clip in SyntheticSource(config, seed=0).read_log(log_id):
            for points, frame in _dynamic_points(clip):
                assert clip.boxes is not None
                inside = np.zeros(len(points), bool)
                for box in clip.boxes[frame]:
                    local = transform_points(invert_pose(box.world_from_box), points)
                    inside |= bool(box.moving) & (np.abs(local) <= np.array(box.size_m) / 2 + 0.02).all(1)
                far = np.linalg.norm(points - clip.world_from_ego[frame, :3, 3], axis=1) > 55  # type: ignore[index]
                assert (inside | far).all()
                pixels += int(inside.sum())
    assert pixels > 30


def _dynamic_points(clip: Clip) -> list[tuple[np.ndarray, int]]:
    assert clip.depth is not None
    assert clip.dynamic is not None
    assert clip.Ks is not None
    assert clip.world_from_camera is not None
    rows = []
    for frame, camera in zip(*np.nonzero(clip.dynamic.any((2, 3))), strict=True):
        mask = clip.dynamic[frame, camera]
        lifted = pixel_directions(clip.Ks[camera], *mask.shape)[mask] * clip.depth[frame, camera][mask][:, None]
        rows.append((transform_points(clip.world_from_camera[frame, camera], lifted), int(frame)))
    return rows


def test_track_ids_are_unique_in_a_frame_and_only_movers_move(day_clip: Clip) -> None:
    assert day_clip.boxes is not None
    for boxes in day_clip.boxes:
        assert len({box.track_id for box in boxes}) == len(boxes) > 3
    first, last = ({box.track_id: box for box in boxes} for boxes in (day_clip.boxes[0], day_clip.boxes[-1]))
    for track_id in set(first) & set(last):
        moved = np.linalg.norm(first[track_id].world_from_box[:3, 3] - last[track_id].world_from_box[:3, 3])
        assert (moved > 0.1) == first[track_id].moving
    assert any(not box.moving for box in first.values())


def test_lidar_agrees_with_the_cameras_depth(day_clip: Clip) -> None:
    assert day_clip.points is not None
    assert day_clip.depth is not None
    assert day_clip.Ks is not None
    assert day_clip.world_from_camera is not None
    assert day_clip.world_from_ego is not None
    cloud = transform_points(day_clip.world_from_ego[4], day_clip.points[4].astype(np.float64))
    pixels, z = project_points(day_clip.Ks[1], transform_points(invert_pose(day_clip.world_from_camera[4, 1]), cloud))
    column, row = np.floor(pixels).astype(int).T
    seen = (z > 1) & (column >= 0) & (column < 96) & (row >= 0) & (row < 64)
    depth = day_clip.depth[4, 1][row[seen], column[seen]]
    assert seen.sum() > 150
    assert (np.abs(depth - z[seen]) < 0.05 * z[seen] + 0.3).mean() > 0.85


def test_six_surround_cameras_work() -> None:
    config = SMALL.model_copy(update={"cameras": SURROUND_CAMERAS, "frames": 1, "clips_per_log": 1})
    clip = SyntheticSource(config, seed=0).read_log("synthetic-0000")[0]
    assert clip.rgb.shape == (1, 6, 32, 48, 3)
    assert clip.world_from_camera is not None
    directions = clip.world_from_camera[0, :, :2, 2].sum(0)
    assert np.linalg.norm(directions) < 1


@pytest.mark.parametrize("weather", ["clear", "overcast", "rain", "fog"])
def test_weather_and_time_of_day_change_the_look(weather: str) -> None:
    brightness = {}
    for time_of_day in ("day", "night"):
        config = SyntheticConfig.model_validate(
            {**SMALL.model_dump(), "frames": 1, "weathers": [weather], "times_of_day": [time_of_day]}
        )
        clip = SyntheticSource(config, seed=0).read_log("synthetic-0000")[0]
        assert clip.tags == {"weather": weather, "time_of_day": time_of_day}
        brightness[time_of_day] = clip.rgb.mean()
    assert brightness["night"] < 0.75 * brightness["day"]


def test_clips_fulfil_the_schema(day_clip: Clip) -> None:
    validate_clip(day_clip)


# mean colour and depth of each camera, and boxes in the first frame; where the world was meant to change, raise
# WORLD_VERSION and write down the new ones
WORLD_MEANS = {
    "synthetic-0000": ([169.23, 177.15, 164.19], [14.75, 13.31, 9.27], 25),
    "synthetic-0001": ([129.59, 126.09, 97.36], [13.12, 15.84, 7.88], 17),
    "synthetic-0002": ([161.02, 166.93, 146.35], [11.54, 15.08, 7.3], 16),
}


@pytest.mark.parametrize("log_id", sorted(WORLD_MEANS))
def test_the_world_of_this_version_is_unchanged(log_id: str) -> None:
    assert WORLD_VERSION == "1"
    clip = SyntheticSource(SMALL, seed=0).read_log(log_id)[1]
    colour, metres, boxes = WORLD_MEANS[log_id]
    assert clip.depth is not None
    assert clip.boxes is not None
    np.testing.assert_allclose(clip.rgb.mean((0, 2, 3, 4)), colour, atol=0.1)
    np.testing.assert_allclose(clip.depth.mean((0, 2, 3)), metres, atol=0.05)
    assert len(clip.boxes[0]) == boxes
