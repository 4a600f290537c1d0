"""How the ego drives: along its loop at up to 15 m/s, slowly round corners, stopping before some of them.

A point-mass longitudinal model: constant comfortable acceleration and braking towards the speed that the next corner or
stop line allows. Suspension and steering dynamics are left out.
"""

from dataclasses import dataclass

import numpy as np

from worldmodel.data.synthetic.solids import F64
from worldmodel.data.synthetic.streets import Loop, Pose2, Route, StreetPlan, seeded

STEP_S = 0.05
ACCELERATION = 2.0
BRAKING = 2.5
STOP_BEFORE_CORNER_M = 4.0
CORNER_LATERAL = 3.0
LEAD_GAP_M = 10.0
LEAD_AHEAD_S = 1.5


@dataclass(frozen=True)
class EgoDrive:
    """Distance along the loop at every STEP_S from the log's start, for as long as was asked and a little more."""

    loop: Loop
    distance_m: F64
    has_lead: bool

    def pose(self, time_s: float) -> Pose2:
        """x, y and yaw of the ego."""
        return self._pose_at(self._distance(time_s))

    def lead_pose(self, time_s: float) -> Pose2:
        """x, y and yaw of the vehicle ahead: where the ego will be shortly, and a gap on."""
        return self.loop.pose(self._distance(time_s + LEAD_AHEAD_S) + LEAD_GAP_M)

    def _distance(self, time_s: float) -> float:
        return float(np.interp(time_s, np.arange(len(self.distance_m)) * STEP_S, self.distance_m))

    def _pose_at(self, distance: float) -> Pose2:
        x, y, yaw = self.loop.pose(distance)
        phase = 2 * np.pi * distance / 55.0
        sway = 0.15 * np.sin(phase)
        turn = np.arctan(0.15 * 2 * np.pi / 55.0 * np.cos(phase))
        return x - sway * np.sin(yaw), y + sway * np.cos(yaw), yaw + float(turn)


def drive(plan: StreetPlan, route: Route, duration_s: float) -> EgoDrive:
    """The ego's drive; a longer one begins with the shorter one."""
    rng = seeded(plan.seed, plan.log, "drive")
    loop = route.loop
    cruise = float(rng.uniform(8.0, 15.0))
    distance = float(rng.uniform(0, loop.length_m))
    has_lead = bool(rng.random() < 0.5)
    corner_speed = float(np.sqrt(CORNER_LATERAL * loop.radius))
    speed = min(cruise, _allowed(loop.to_corner(distance)[0], corner_speed))
    stop_s = _StopTimes(plan)
    distances = [distance]
    for _ in range(int(np.ceil((duration_s + LEAD_AHEAD_S) / STEP_S)) + 1):
        to_corner, corner = loop.to_corner(distance)
        target = min(cruise, _allowed(to_corner, corner_speed))
        to_stop = to_corner - STOP_BEFORE_CORNER_M
        if stop_s.left(corner) > 0 and to_stop > -2.0:
            target = min(target, _allowed(to_stop - 0.3, 0.0))
            if speed < 0.3 and to_stop < 1.5:
                target = 0.0
                stop_s.wait(corner, STEP_S)
        speed = float(np.clip(target, speed - 2 * BRAKING * STEP_S, speed + ACCELERATION * STEP_S))
        distance += speed * STEP_S
        distances.append(distance)
    return EgoDrive(loop, np.array(distances), has_lead)


def _allowed(distance: float, end_speed: float) -> float:
    return float(np.sqrt(end_speed**2 + 2 * BRAKING * max(distance, 0.0)))


class _StopTimes:
    """How long the ego still has to wait at each corner of the drive: three in ten are red."""

    def __init__(self, plan: StreetPlan) -> None:
        self._plan = plan
        self._left: dict[int, float] = {}

    def left(self, corner: int) -> float:
        if corner not in self._left:
            rng = seeded(self._plan.seed, self._plan.log, "stop", corner)
            self._left[corner] = float(rng.uniform(1.0, 4.0)) if rng.random() < 0.3 else 0.0
        return self._left[corner]

    def wait(self, corner: int, seconds: float) -> None:
        self._left[corner] -= seconds
