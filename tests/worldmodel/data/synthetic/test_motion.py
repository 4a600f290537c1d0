import numpy as np
import pytest

from worldmodel.data.synthetic.motion import ACCELERATION, BRAKING, STEP_S, drive
from worldmodel.data.synthetic.streets import StreetPlan, ego_route


def _speeds(log: int, seconds: float = 60.0) -> np.ndarray:
    plan = StreetPlan(0, log)
    return np.asarray(np.diff(drive(plan, ego_route(plan), seconds).distance_m) / STEP_S)


def test_speeds_stay_between_standing_and_15_metres_a_second() -> None:
    speeds = np.concatenate([_speeds(log) for log in range(20)])
    assert speeds.min() >= 0
    assert speeds.min() < 0.05
    assert 13 < speeds.max() <= 15


def test_acceleration_and_braking_are_bounded() -> None:
    change = np.concatenate([np.diff(_speeds(log)) for log in range(20)]) / STEP_S
    assert change.max() <= ACCELERATION + 1e-6
    assert change.min() >= -2 * BRAKING - 1e-6


def test_corners_are_taken_slowly() -> None:
    plan = StreetPlan(0, 3)
    ego = drive(plan, ego_route(plan), 60)
    on_arc = np.array([ego.loop.to_corner(float(s))[0] < -1 for s in ego.distance_m[:-1]])
    speeds = np.diff(ego.distance_m) / STEP_S
    assert on_arc.any()
    lateral = speeds[on_arc] ** 2 / ego.loop.radius
    assert lateral.max() < 3.6


def test_a_minute_may_cover_600_metres_and_come_back_to_where_it_was() -> None:
    plans = [StreetPlan(0, log) for log in range(40)]
    minutes = [drive(plan, ego_route(plan), 60) for plan in plans]
    driven = [np.ptp(ego.distance_m[: int(60 / STEP_S)]) for ego in minutes]
    assert max(driven) > 600
    assert any(metres > ego.loop.length_m for metres, ego in zip(driven, minutes, strict=True))


def test_a_longer_drive_begins_with_the_shorter_one() -> None:
    plan = StreetPlan(0, 5)
    short, long = (drive(plan, ego_route(plan), seconds).distance_m for seconds in (4, 40))
    np.testing.assert_array_equal(long[: len(short)], short)


@pytest.mark.parametrize("log", range(5))
def test_the_vehicle_ahead_keeps_its_distance(log: int) -> None:
    plan = StreetPlan(0, log)
    ego = drive(plan, ego_route(plan), 30)
    for time_s in np.arange(0, 30, 0.5):
        gap = np.subtract(ego.lead_pose(float(time_s))[:2], ego.pose(float(time_s))[:2])
        assert np.hypot(*gap) > 7
