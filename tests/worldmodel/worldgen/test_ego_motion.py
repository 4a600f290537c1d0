"""Ego motion by hand: x forward, y left, left turns positive."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodel.worldgen.ego_motion import ego_motion


def poses(x: NDArray[np.float64], y: NDArray[np.float64], yaw: NDArray[np.float64]) -> NDArray[np.float64]:
    matrices = np.tile(np.eye(4), (len(x), 1, 1))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(yaw)
    matrices[:, 1, 0], matrices[:, 0, 1] = np.sin(yaw), -np.sin(yaw)
    matrices[:, 0, 3], matrices[:, 1, 3] = x, y
    return matrices


TIMES = np.arange(9) / 10


def test_straight_on_whatever_the_heading() -> None:
    """10 m/s along a heading of 120 degrees: 1 m a step, 4 m a latent frame, all of it forward."""
    along, heading = np.arange(9.0), np.full(9, math.radians(120))
    motion = ego_motion(poses(along * np.cos(heading) + 50, along * np.sin(heading) - 7, heading), TIMES)
    assert motion.shape == (3, 6) and motion.dtype == np.float32
    assert motion[0].tolist() == pytest.approx([10, 0, 0, 0, 0, 1], abs=1e-5)
    assert motion[1].tolist() == pytest.approx([10, 0, 4, 0, 0, 1], abs=1e-5)
    assert motion[2].tolist() == pytest.approx([10, 0, 4, 0, 0, 1], abs=1e-5)


def test_a_left_turn_is_positive_and_leads_left() -> None:
    """A circle of 20 m radius, 0.05 rad a step: four steps lead 20 sin 0.2 ahead and 20 (1 - cos 0.2) to the left."""
    angle = 0.05 * np.arange(9)
    motion = ego_motion(poses(20 * np.sin(angle), 20 * (1 - np.cos(angle)), angle), TIMES)
    step = 20 * math.sin(0.05)  # forward in the frame of the step before
    expected = [step / 0.1, 0.5, 20 * math.sin(0.2), 20 * (1 - math.cos(0.2)), 0.2, 1]
    assert motion[1].tolist() == pytest.approx(expected, rel=1e-5)
    assert motion[2].tolist() == pytest.approx(expected, rel=1e-5)
    assert motion[0].tolist() == pytest.approx([step / 0.1, 0.5, 0, 0, 0, 1], rel=1e-5)


def test_a_right_turn_past_pi_and_reverse_keep_their_signs() -> None:
    yaw = -math.pi + 0.1 - 0.05 * np.arange(9)
    turning = ego_motion(poses(np.zeros(9), np.zeros(9), yaw), TIMES)
    assert turning[1].tolist() == pytest.approx([0, -0.5, 0, 0, -0.2, 1], abs=1e-5)
    back = ego_motion(poses(-0.5 * np.arange(9.0), np.zeros(9), np.zeros(9)), TIMES)
    assert back[2].tolist() == pytest.approx([-5, 0, -2, 0, 0, 1], abs=1e-5)


def test_speeds_follow_the_clock_and_each_latent_frame_has_its_own() -> None:
    """Standing for four steps, then 0.4 m a step at double the interval: 2 m/s."""
    x = np.array([0, 0, 0, 0, 0, 0.4, 0.8, 1.2, 1.6])
    times = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.2])
    motion = ego_motion(poses(x, np.zeros(9), np.zeros(9)), times)
    assert motion[:, 0].tolist() == pytest.approx([0, 0, 2])
    assert motion[:, 2].tolist() == pytest.approx([0, 0, 1.6])


def test_unknown_poses_are_zeros_and_say_so() -> None:
    motion = ego_motion(None, TIMES)
    assert motion.shape == (3, 6) and not motion.any()
