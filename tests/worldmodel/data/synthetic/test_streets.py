import numpy as np
import pytest

from worldmodel.data.synthetic.streets import (
    HALF_ROAD_M,
    LANE_M,
    Loop,
    StreetPlan,
    ego_route,
    lane_lines,
    seeded,
)

LOOPS = [Loop(0, 0, 120, 80, 7, clockwise) for clockwise in (False, True)]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_is_closed_and_its_heading_is_its_tangent(loop: Loop) -> None:
    step = 0.05
    distance = np.arange(0, 2 * loop.length_m, step)
    x, y, yaw = np.array([loop.pose(float(s)) for s in distance]).T
    dx, dy = np.diff(x), np.diff(y)
    np.testing.assert_allclose(np.hypot(dx, dy), step, rtol=1e-3)
    tangent = np.exp(1j * np.arctan2(dy, dx))
    np.testing.assert_allclose(tangent, np.exp(1j * yaw[:-1]), atol=0.02)
    np.testing.assert_allclose(loop.pose(loop.length_m)[:2], loop.pose(0)[:2], atol=1e-9)


def test_the_sense_of_a_loop_is_as_named() -> None:
    for loop, sense in zip(LOOPS, (1, -1), strict=True):
        xy = np.array([loop.pose(float(s))[:2] for s in np.arange(0, loop.length_m, 0.5)])
        following = np.roll(xy, -1, axis=0)
        area = 0.5 * np.sum(xy[:, 0] * following[:, 1] - following[:, 0] * xy[:, 1])
        assert area * sense == pytest.approx(120 * 80 - (4 - np.pi) * 49, rel=1e-2)


def test_distance_to_the_corner_reaches_zero_at_the_arc() -> None:
    loop = LOOPS[0]
    assert loop.to_corner(0) == (106, 0)
    assert loop.to_corner(106)[0] == pytest.approx(0)
    assert loop.to_corner(106 + loop.corner_m) == (pytest.approx(66), 1)
    assert loop.to_corner(loop.length_m) == (106, 4)


def test_streets_depend_on_position_seed_and_log_alone() -> None:
    forwards, backwards = StreetPlan(3, 1), StreetPlan(3, 1)
    indices = range(-20, 20)
    lines = [forwards.line(0, index) for index in indices]
    assert lines == [backwards.line(0, index) for index in reversed(indices)][::-1]
    assert lines != [StreetPlan(3, 2).line(0, index) for index in indices]
    assert lines != [StreetPlan(4, 1).line(0, index) for index in indices]
    assert min(np.diff(lines)) > 2 * HALF_ROAD_M + 40


def test_streets_go_on_far_from_the_origin() -> None:
    plan = StreetPlan(0, 0)
    near = plan.lines_near(0, 1e5, 200)
    assert near.min() < 1e5 - 200
    assert near.max() > 1e5 + 200
    assert len(plan.blocks_near(1e5, -1e5, 150)) >= 9


def test_blocks_near_are_those_within_reach() -> None:
    plan = StreetPlan(1, 0)
    x0, y0, x1, y1 = plan.bounds((0, 0))
    assert plan.blocks_near((x0 + x1) / 2, (y0 + y1) / 2, 5) == [(0, 0)]
    assert set(plan.blocks_near(x1, y1, 5)) == {(0, 0), (1, 0), (0, 1), (1, 1)}


@pytest.mark.parametrize("log", range(6))
def test_the_ego_drives_in_the_right_hand_lane_of_the_blocks_it_takes(log: int) -> None:
    plan = StreetPlan(0, log)
    route = ego_route(plan)
    taken = [plan.bounds(block) for block in sorted(route.taken)]
    for distance in np.arange(0, route.loop.length_m, 3.0):
        if route.loop.to_corner(float(distance))[0] < 1:
            continue
        x, y, yaw = route.loop.pose(float(distance))
        right = x + 0.1 * np.sin(yaw), y - 0.1 * np.cos(yaw)
        inside = [b for b in taken if b[0] < right[0] < b[2] and b[1] < right[1] < b[3]]
        assert len(inside) == 1 or _on_junction(plan, x, y)


def _on_junction(plan: StreetPlan, x: float, y: float) -> bool:
    gaps = [np.abs(plan.lines_near(axis, value, 50) - value).min() for axis, value in enumerate((x, y))]
    return max(gaps) < HALF_ROAD_M


def test_lane_lines_run_along_the_streets_and_stop_at_junctions() -> None:
    plan = StreetPlan(0, 0)
    x, y = plan.line(0, 0), plan.line(1, 0) + 30
    lines = lane_lines(plan, x, y, 80)
    assert len(lines) > 6
    for line in lines:
        assert line.shape[1] == 3
        assert (line[:, 2] == 0).all()
        assert (np.hypot(line[:, 0] - x, line[:, 1] - y) < 80).all()
        assert not any(_on_junction(plan, *point[:2]) for point in line)
    offsets = {round(float(line[0, 0] - x), 3) for line in lines if np.ptp(line[:, 0]) == 0}
    assert {-LANE_M, 0.0, LANE_M} <= offsets


def test_streams_of_different_purposes_differ_and_repeat() -> None:
    assert seeded(1, 2, "a", -3).random() == seeded(1, 2, "a", -3).random()
    assert len({seeded(1, 2, p, c).random() for p in ("a", "b") for c in (-1, 0, 1)}) == 6
