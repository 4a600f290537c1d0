"""The street plan of one log: an unbounded grid of streets, and the closed loops that traffic drives on it.

The plan is a function of position: street i of an axis lies near i * SPACING_M, moved by a hash, so a drive may be as
long as it likes. Traffic keeps to the right. Every block is ringed by its own lane, driven clockwise, so the agents of
different blocks never meet; the ego drives around a rectangle of blocks, and the rings it uses stay empty. Traffic that
crosses a junction, lane changes and curved streets are left out.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from worldmodel.data.synthetic.solids import F64

SPACING_M = 90.0
JITTER_M = 26.0
LANE_M = 3.5
PARKING_M = 2.3
HALF_ROAD_M = LANE_M + PARKING_M
SIDEWALK_M = 3.4
CROSSING_M = (0.6, 3.0)
STOP_LINE_M = (3.6, 4.1)

Pose2 = tuple[float, float, float]
Block = tuple[int, int]


def seeded(seed: int, log: int, purpose: str, *cell: int) -> np.random.Generator:
    """The random stream of one thing: of a street, a block, a frame."""
    entropy = [seed, log, int.from_bytes(purpose.encode(), "big"), *(index & 0xFFFFFFFF for index in cell)]
    return np.random.default_rng(entropy)


@dataclass(frozen=True)
class Loop:
    """A rectangle with rounded corners, driven for ever. `clockwise` as seen from above."""

    x0: float
    y0: float
    x1: float
    y1: float
    radius: float
    clockwise: bool

    @cached_property
    def _legs(self) -> tuple[float, float]:
        return self.x1 - self.x0 - 2 * self.radius, self.y1 - self.y0 - 2 * self.radius

    @cached_property
    def corner_m(self) -> float:
        """Length of one corner's arc."""
        return 0.5 * np.pi * self.radius

    @cached_property
    def length_m(self) -> float:
        """Length of one lap."""
        return 2 * sum(self._legs) + 4 * self.corner_m

    def to_corner(self, distance: float) -> tuple[float, int]:
        """Metres from here to the next corner's arc (0 or less on one), and how many corners were passed since 0."""
        laps, rest = divmod(distance, self.length_m)
        for leg in range(4):
            straight = self._legs[leg % 2]
            if rest < straight + self.corner_m:
                return straight - rest, int(laps) * 4 + leg
            rest -= straight + self.corner_m
        return self._legs[0], int(laps) * 4 + 4

    def pose(self, distance: float) -> Pose2:
        """x, y and yaw after `distance` metres, from the lower left corner (counter-clockwise: along +x first)."""
        to_corner, corner = self.to_corner(distance)
        leg = corner % 4
        straight, radius = self._legs[leg % 2], self.radius
        starts = [
            (self.x0 + radius, self.y0),
            (self.x1, self.y0 + radius),
            (self.x1 - radius, self.y1),
            (self.x0, self.y1 - radius),
        ]
        along, turned = straight - max(to_corner, 0.0), max(-to_corner, 0.0) / radius
        forward, left = along + radius * np.sin(turned), radius * (1 - np.cos(turned))
        cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][leg]
        x, y = starts[leg][0] + cosine * forward - sine * left, starts[leg][1] + sine * forward + cosine * left
        yaw = 0.5 * np.pi * leg + turned
        if not self.clockwise:
            return x, y, yaw
        return self.x0 + self.x1 - x, y, np.pi - yaw


class StreetPlan:
    """The streets of one log."""

    def __init__(self, seed: int, log: int) -> None:
        self.seed, self.log = seed, log
        self._lines: dict[tuple[int, int], float] = {}

    def line(self, axis: int, index: int) -> float:
        """Centre of street `index`: its x for axis 0 (it runs along y), its y for axis 1."""
        if (axis, index) not in self._lines:
            jitter = seeded(self.seed, self.log, "street", axis, index).uniform(-0.5, 0.5) * JITTER_M
            self._lines[axis, index] = index * SPACING_M + float(jitter)
        return self._lines[axis, index]

    def lines_near(self, axis: int, position: float, reach: float) -> F64:
        """Centres of all streets of an axis within reach, ascending."""
        first, last = int((position - reach) // SPACING_M) - 1, int((position + reach) // SPACING_M) + 2
        return np.array([self.line(axis, index) for index in range(first, last + 1)])

    def bounds(self, block: Block) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 between the centre lines of the four streets around a block."""
        i, j = block
        return self.line(0, i), self.line(1, j), self.line(0, i + 1), self.line(1, j + 1)

    def blocks_near(self, x: float, y: float, reach: float) -> list[Block]:
        """Blocks that come within reach of a point."""
        steps = int(reach // SPACING_M) + 2
        i0, j0 = int(x // SPACING_M), int(y // SPACING_M)
        near = []
        for i in range(i0 - steps, i0 + steps + 1):
            for j in range(j0 - steps, j0 + steps + 1):
                xa, ya, xb, yb = self.bounds((i, j))
                if np.hypot(max(xa - x, x - xb, 0), max(ya - y, y - yb, 0)) < reach:
                    near.append((i, j))
        return near

    def ring(self, block: Block, inset: float, radius: float, clockwise: bool = True) -> Loop:
        """The loop around a block, `inset` metres inside the streets' centre lines."""
        x0, y0, x1, y1 = self.bounds(block)
        return Loop(x0 + inset, y0 + inset, x1 - inset, y1 - inset, radius, clockwise)


@dataclass(frozen=True)
class Route:
    """The ego's loop, and the blocks whose lane it takes."""

    loop: Loop
    taken: frozenset[Block]


def ego_route(plan: StreetPlan) -> Route:
    """A lap around one to nine blocks, turning left or right."""
    rng = seeded(plan.seed, plan.log, "route")
    wide, high = (int(n) for n in rng.integers(1, 4, 2))
    clockwise = bool(rng.integers(2))
    x0, y0, x1, y1 = plan.line(0, 0), plan.line(1, 0), plan.line(0, wide), plan.line(1, high)
    inside = {(i, j) for i in range(wide) for j in range(high)}
    if clockwise:
        inset, radius, taken = 0.5 * LANE_M, 7.5, inside
    else:
        inset, radius = -0.5 * LANE_M, 10.0
        taken = {(i + a, j + b) for i, j in inside for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))} - inside
    return Route(Loop(x0 + inset, y0 + inset, x1 - inset, y1 - inset, radius, clockwise), frozenset(taken))


def lane_lines(plan: StreetPlan, x: float, y: float, reach: float, step: float = 6.0) -> list[F64]:
    """Painted lines [P, 3] near a point: each street's centre line and lane edges, broken at the crossings."""
    polylines = []
    for axis, (position, other) in enumerate(((x, y), (y, x))):
        crossings = plan.lines_near(1 - axis, other, reach)
        for centre in plan.lines_near(axis, position, reach):
            for start, end in pairwise(crossings):
                low, high = start + HALF_ROAD_M + STOP_LINE_M[1], end - HALF_ROAD_M - STOP_LINE_M[1]
                along = np.linspace(low, high, max(2, int((high - low) / step) + 1))
                for offset in (-LANE_M, 0.0, LANE_M):
                    across = np.full_like(along, centre + offset)
                    pair = (across, along) if axis == 0 else (along, across)
                    line = np.stack([*pair, np.zeros_like(along)], -1)
                    near = np.hypot(line[:, 0] - x, line[:, 1] - y) < reach
                    if near.sum() >= 2:
                        polylines.append(line[near])
    return polylines
