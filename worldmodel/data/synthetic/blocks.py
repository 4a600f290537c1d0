"""What stands on one block: pavement, buildings, trees, poles, lamps and parked cars.

A block is a pure function of (seed, log, i, j). `Solids.style` of a FACADE: window period, window share across, floor
height, window share up, ground floor (1 = shop), a number that tells buildings apart. Of a PAVEMENT: 1 between homes,
and the width of the paved strip.
"""

from dataclasses import dataclass

import numpy as np

from worldmodel.data.synthetic.agents import Agent, random_vehicle
from worldmodel.data.synthetic.solids import F64, Material, Solids, SolidsBuilder
from worldmodel.data.synthetic.streets import (
    HALF_ROAD_M,
    PARKING_M,
    SIDEWALK_M,
    Block,
    Pose2,
    StreetPlan,
    seeded,
)

KERB_M = 0.14
FACADE_COLOURS = (
    (0.26, 0.09, 0.06), (0.34, 0.14, 0.08), (0.42, 0.34, 0.23), (0.62, 0.58, 0.5), (0.16, 0.16, 0.17),
    (0.3, 0.26, 0.22), (0.58, 0.44, 0.27), (0.13, 0.09, 0.07), (0.24, 0.3, 0.33), (0.72, 0.7, 0.66),
)  # fmt: skip
LEAF_COLOURS = ((0.05, 0.13, 0.025), (0.09, 0.17, 0.03), (0.035, 0.09, 0.03), (0.16, 0.14, 0.03))
BARK = (0.09, 0.065, 0.045)
METAL = (0.12, 0.125, 0.13)
SIGN_COLOURS = ((0.5, 0.03, 0.03), (0.03, 0.1, 0.45), (0.65, 0.5, 0.05), (0.7, 0.7, 0.7))


@dataclass(frozen=True)
class BlockContents:
    """The still things of a block. A solid's owner is an index into `parked`; `lamps` are [L, 3] light positions."""

    solids: Solids
    parked: tuple[tuple[Agent, Pose2], ...]
    lamps: F64


@dataclass(frozen=True)
class _Side:
    """One side of a block: a frame whose x runs along the kerb and whose y points to the street."""

    origin: tuple[float, float]
    yaw: float
    length: float

    def world(self, along: float, outward: float) -> tuple[float, float]:
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return self.origin[0] + cosine * along - sine * outward, self.origin[1] + sine * along + cosine * outward


class _BlockBuilder:
    """Fills one block; the order of calls is part of the world's version."""

    def __init__(self, plan: StreetPlan, block: Block) -> None:
        self.rng = seeded(plan.seed, plan.log, "block", *block)
        self.name = f"{block[0]}_{block[1]}"
        self.solids = SolidsBuilder()
        self.parked: list[tuple[Agent, Pose2]] = []
        self.lamps: list[tuple[float, float, float]] = []
        x0, y0, x1, y1 = plan.bounds(block)
        self.kerb = (x0 + HALF_ROAD_M, y0 + HALF_ROAD_M, x1 - HALF_ROAD_M, y1 - HALF_ROAD_M)
        self.homely = bool(self.rng.random() < 0.35)

    def pick(self, choices: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
        return choices[int(self.rng.integers(len(choices)))]

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def build(self) -> BlockContents:
        x0, y0, x1, y1 = self.kerb
        size = (x1 - x0, y1 - y0, KERB_M)
        self.solids.add(
            ((x0 + x1) / 2, (y0 + y1) / 2, KERB_M / 2),
            size,
            Material.PAVEMENT,
            (0.3, 0.29, 0.275),
            style=(float(self.homely), SIDEWALK_M),
        )
        sides = [
            _Side((x1, y0), np.pi, x1 - x0),
            _Side((x1, y1), -np.pi / 2, y1 - y0),
            _Side((x0, y1), 0.0, x1 - x0),
            _Side((x0, y0), np.pi / 2, y1 - y0),
        ]
        for index, side in enumerate(sides):
            self._buildings(side, corner_taken=index % 2 == 1)
            self._street_furniture(side)
            self._parked_cars(side)
        self._signals(sides)
        return BlockContents(self.solids.build(), tuple(self.parked), np.array(self.lamps).reshape(-1, 3))

    def _buildings(self, side: _Side, corner_taken: bool) -> None:
        depth = 12.0
        margin = SIDEWALK_M + (depth if corner_taken else 0.0)
        along = margin
        while along < side.length - margin - 5.0:
            width = min(self.uniform(7.0, 15.0), side.length - margin - along)
            setback = self.uniform(1.5, 4.0) if self.homely else self.uniform(0.0, 0.6)
            gap = (
                self.uniform(1.5, 5.0) if self.homely else (self.uniform(3.0, 8.0) if self.rng.random() < 0.12 else 0.0)
            )
            floor = self.uniform(2.9, 3.5)
            floors = int(self.rng.integers(1, 4)) if self.homely else int(self.rng.integers(2, 8))
            height = floor * floors + 0.9
            x, y = side.world(along + (width - gap) / 2, -(SIDEWALK_M + setback + (depth - setback) / 2))
            shop = float(not self.homely and self.rng.random() < 0.6)
            style = (
                self.uniform(1.7, 3.4),
                self.uniform(0.35, 0.7),
                floor,
                self.uniform(0.4, 0.62),
                shop,
                self.uniform(0, 1000),
            )
            self.solids.add(
                (x, y, height / 2),
                (width - gap, depth - setback, height),
                Material.FACADE,
                self.pick(FACADE_COLOURS),
                yaw=side.yaw,
                style=style,
            )
            along += width

    def _street_furniture(self, side: _Side) -> None:
        along = self.uniform(6.0, 12.0)
        trees = 0.75 if self.homely else 0.4
        while along < side.length - 6.0:
            x, y = side.world(along, -0.7)
            draw = self.rng.random()
            if draw < trees:
                self._tree(x, y)
            elif draw < trees + 0.18:
                self._sign_post(x, y, side.yaw)
            elif draw < trees + 0.3:
                self._post_box(x, y, side.yaw)
            along += self.uniform(6.0, 11.0)
        for share in (0.12, 0.5, 0.88):
            self._lamp(side, share * side.length)

    def _tree(self, x: float, y: float) -> None:
        trunk, crown, wide = self.uniform(2.0, 3.0), self.uniform(3.0, 5.0), self.uniform(2.4, 4.2)
        self.solids.add((x, y, trunk / 2 + 0.5), (0.24, 0.24, trunk + 1.0), Material.PLAIN, BARK)
        colour, turn = self.pick(LEAF_COLOURS), self.uniform(0, np.pi)
        for part in range(3):
            yaw = turn + part * np.pi / 3
            size = (wide, 0.0, crown)
            self.solids.add(
                (x, y, trunk + crown / 2), size, Material.FOLIAGE, colour, yaw=yaw, style=(self.uniform(0, 400),)
            )

    def _sign_post(self, x: float, y: float, yaw: float) -> None:
        self.solids.add((x, y, 1.3), (0.09, 0.09, 2.6), Material.PLAIN, METAL)
        self.solids.add((x, y, 2.35), (0.06, 0.7, 0.7), Material.PLAIN, self.pick(SIGN_COLOURS), yaw=yaw)

    def _post_box(self, x: float, y: float, yaw: float) -> None:
        size = (self.uniform(0.4, 0.8), self.uniform(0.4, 0.7), self.uniform(0.9, 1.4))
        self.solids.add((x, y, KERB_M + size[2] / 2), size, Material.PLAIN, self.pick(SIGN_COLOURS), yaw=yaw)

    def _lamp(self, side: _Side, along: float) -> None:
        x, y = side.world(along, -0.5)
        self.solids.add((x, y, 3.2), (0.16, 0.16, 6.4), Material.PLAIN, METAL)
        x, y = side.world(along, 0.3)
        self.solids.add((x, y, 6.3), (0.25, 1.7, 0.14), Material.LAMP, METAL, yaw=side.yaw)
        self.lamps.append((*side.world(along, 0.8), 6.1))

    def _parked_cars(self, side: _Side) -> None:
        along = 9.0
        offset = 0.5 * PARKING_M
        while along < side.length - 14.0:
            if self.rng.random() < 0.55:
                agent = random_vehicle(self.rng, f"parked-{self.name}-{len(self.parked)}", moving=False)
                length = agent.size_m[0]
                x, y = side.world(along + length / 2, offset)
                pose = (x, y, side.yaw)
                agent.build(self.solids, pose, owner=len(self.parked))
                self.parked.append((agent, pose))
                along += length
            else:
                along += 5.0
            along += self.uniform(0.7, 2.0)

    def _signals(self, sides: list[_Side]) -> None:
        for side in sides:
            x, y = side.world(1.2, -1.2)
            self.solids.add((x, y, 1.9), (0.14, 0.14, 3.8), Material.PLAIN, METAL)
            self.solids.add((x, y, 3.4), (0.34, 0.34, 0.95), Material.PLAIN, (0.025, 0.03, 0.025))


def build_block(plan: StreetPlan, block: Block) -> BlockContents:
    """The contents of block (i, j)."""
    return _BlockBuilder(plan, block).build()
