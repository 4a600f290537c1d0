"""Paths read from videos of the synthetic world, whose depth and poses are exact."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from evaluation.metrics.action import (
    FOLLOWING_ERROR,
    YAW_ERROR_DEG,
    Command,
    command,
    relative_error,
    yaw_error_deg,
)
from evaluation.metrics.alignment import GivenView, camera_path
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource

STRAIGHT, TURN = 1, 21


@dataclass(frozen=True)
class Drive:
    video: np.ndarray
    poses: np.ndarray
    times_s: np.ndarray
    view: GivenView

    def command(self) -> Command | str:
        return command(self.poses, self.times_s, self.view, self.video)


def drive(log: int) -> Drive:
    config = SyntheticConfig(logs=22, clips_per_log=1, frames=9, weathers=("clear",), times_of_day=("day",))
    clip = SyntheticSource(config, seed=0).read_log(f"synthetic-{log:04d}")[0]
    camera = clip.cameras.index("front")
    view = GivenView(clip.Ks[camera], clip.depth[0, camera], ~clip.dynamic[0, camera])
    return Drive(clip.rgb[:, camera], clip.world_from_camera[:, camera], clip.times_s, view)


@pytest.fixture(scope="module")
def straight() -> Drive:
    return drive(STRAIGHT)


@pytest.fixture(scope="module")
def asked(straight: Drive) -> Command:
    found = straight.command()
    assert isinstance(found, Command)
    return found


def turned(degrees: float) -> np.ndarray:
    """A pose turned about the camera's vertical."""
    angle, pose = np.radians(degrees), np.eye(4)
    pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return pose


def moved(*shift: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = shift
    return pose


def test_true_frames_follow_within_the_stated_error(straight, asked):
    assert len(asked.path) == 9
    following, yaw = asked.errors(straight.video)
    assert 1 - FOLLOWING_ERROR <= following <= 1
    assert yaw <= YAW_ERROR_DEG


def test_a_repeated_frame_moves_nowhere(straight, asked):
    still = np.repeat(straight.video[:1], 9, 0)
    np.testing.assert_allclose(camera_path(still, straight.view), np.broadcast_to(np.eye(4), (9, 4, 4)), atol=1e-12)
    assert asked.errors(still)[0] == pytest.approx(0.0, abs=1e-12)


def test_half_the_way_is_half_followed(straight, asked):
    """Every true frame twice: the camera is half as far at each time, but for the steps between."""
    slow = np.repeat(straight.video, 2, 0)[:9]
    expected = 1 - relative_error(np.repeat(asked.path, 2, 0)[:9], asked.path)
    assert 0.4 < expected < 0.6
    assert asked.errors(slow)[0] == pytest.approx(expected, abs=0.07)


def test_fading_is_not_taken_for_motion_and_noise_is_followed_nowhere(straight, asked):
    fade = np.linspace(1, 0.6, 9)[:, None, None, None]
    assert asked.errors((straight.video * fade).astype(np.uint8))[0] > 0.85
    noise = np.random.default_rng(0).integers(0, 255, straight.video.shape, dtype=np.uint8)
    noise[0] = straight.video[0]
    following, yaw = asked.errors(noise)
    assert following < 0.3 and np.isfinite(yaw)


@pytest.mark.parametrize("level", [0, 128])
def test_a_video_of_one_colour_has_a_finite_path(straight, asked, level):
    flat = np.full_like(straight.video, level)
    assert np.isfinite(camera_path(flat, straight.view)).all()
    assert asked.errors(flat)[0] == pytest.approx(0.0, abs=1e-6)


def test_a_turn_is_read_as_one_and_missing_it_is_a_yaw_error():
    turn = drive(TURN)
    found = turn.command()
    assert isinstance(found, Command)
    asked_deg = yaw_error_deg(np.broadcast_to(np.eye(4), found.path.shape), found.path, found.up)
    assert asked_deg > 5
    assert found.errors(turn.video)[1] <= YAW_ERROR_DEG
    following, yaw = found.errors(np.repeat(turn.video[:1], len(turn.video), 0))
    assert (following, yaw) == (pytest.approx(0.0, abs=1e-12), pytest.approx(asked_deg))


def test_large_images_are_measured_at_a_working_size(straight, asked):
    """Each pixel three times as wide and high: the same path."""
    big = straight.video.repeat(3, 1).repeat(3, 2)
    scale = np.array([[3.0], [3.0], [1.0]])
    view = GivenView(
        straight.view.K * scale, *(a.repeat(3, 0).repeat(3, 1) for a in (straight.view.depth, straight.view.still))
    )
    assert min(big.shape[1:3]) > 96
    assert replace(asked, view=view).errors(big)[0] > 1 - FOLLOWING_ERROR - 0.05


def test_a_camera_that_stands_still_or_whose_true_frames_do_not_follow_is_not_measured(straight):
    stopped = replace(straight, poses=np.broadcast_to(straight.poses[0], straight.poses.shape))
    assert stopped.command() == "the camera moves less than 1 m in 1 s"
    frozen = replace(straight, video=np.repeat(straight.video[:1], 9, 0))
    assert frozen.command() == "the path cannot be read from 0.5 s of the true frames either"


def test_the_horizon_ends_where_the_true_frames_are_lost(straight):
    video = straight.video.copy()
    video[7:] = video[0]
    found = replace(straight, video=video).command()
    assert isinstance(found, Command) and len(found.path) == 7


def test_relative_error_by_hand():
    asked = np.stack([np.eye(4), moved(0, 0, 3), moved(0, 0, 4)])
    path = np.stack([np.eye(4), moved(0, 0, 3), moved(2, 0, 4)])
    assert relative_error(path, asked) == pytest.approx(2 / 5)
    assert relative_error(np.stack([np.eye(4)] * 3), asked) == 1.0


def test_yaw_error_by_hand_counts_turns_about_the_vertical_only():
    asked = np.stack([np.eye(4), turned(10), turned(20)])
    up = np.broadcast_to([0.0, -1.0, 0.0], (3, 3))
    assert yaw_error_deg(asked, asked, up) == pytest.approx(0.0, abs=1e-6)
    assert yaw_error_deg(np.stack([np.eye(4)] * 3), asked, up) == pytest.approx(np.sqrt((100 + 400) / 2))
    pitched = asked.copy()
    pitched[1:, :3, :3] = asked[1:, :3, :3] @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert yaw_error_deg(pitched, asked, up) == pytest.approx(0.0, abs=1e-6)
