"""Vehicles and people: their size, the boxes they are built of, and how the moving ones go round their block."""

from dataclasses import dataclass

import numpy as np

from worldmodel.data.schema import Box
from worldmodel.data.synthetic.solids import Material, SolidsBuilder
from worldmodel.data.synthetic.streets import LANE_M, Block, Loop, Pose2, StreetPlan, seeded

CAR_PAINTS = (
    (0.75, 0.75, 0.74), (0.03, 0.03, 0.035), (0.3, 0.31, 0.33), (0.45, 0.03, 0.03), (0.04, 0.09, 0.3),
    (0.5, 0.48, 0.42), (0.05, 0.2, 0.12), (0.62, 0.4, 0.05), (0.8, 0.8, 0.78), (0.12, 0.13, 0.14),
)  # fmt: skip
CLOTHES = (
    (0.05, 0.06, 0.15), (0.4, 0.06, 0.05), (0.35, 0.33, 0.3), (0.03, 0.03, 0.03), (0.1, 0.25, 0.35), (0.6, 0.55, 0.2),
)  # fmt: skip
SKIN = (0.45, 0.28, 0.2)
PEDESTRIAN_INSETS_M = (7.3, 8.3)


@dataclass(frozen=True)
class Agent:
    """Something annotated. `size_m` is length, width, height; boxes stand on the ground."""

    track_id: str
    category: str
    size_m: tuple[float, float, float]
    colour: tuple[float, float, float]
    moving: bool

    def box(self, pose: Pose2) -> Box:
        """The annotated box: the union of the parts."""
        x, y, yaw = pose
        world_from_box = np.eye(4)
        world_from_box[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        world_from_box[:3, 3] = x, y, self.size_m[2] / 2
        return Box(self.track_id, self.category, world_from_box, self.size_m, self.moving)

    def build(self, solids: SolidsBuilder, pose: Pose2, owner: int) -> None:
        """Adds its parts. Each part: (centre x, y, z; size; material; colour) in the agent's frame."""
        x, y, yaw = pose
        cosine, sine = np.cos(yaw), np.sin(yaw)
        for (px, py, pz), size, material, colour in _PARTS[self.category](self.size_m, self.colour):
            centre = (x + cosine * px - sine * py, y + sine * px + cosine * py, pz)
            solids.add(centre, size, material, colour, yaw=yaw, style=(self.size_m[2],), owner=owner)


_Triple = tuple[float, float, float]
_Part = tuple[_Triple, _Triple, Material, _Triple]


def _car(size: _Triple, colour: _Triple) -> list[_Part]:
    length, width, height = size
    waist = 0.6 * height
    return [
        ((0, 0, waist / 2), (length, width, waist), Material.CAR_BODY, colour),
        (
            (-0.06 * length, 0, (waist + height) / 2),
            (0.56 * length, 0.9 * width, height - waist),
            Material.CAR_CABIN,
            colour,
        ),
    ]


def _van(size: _Triple, colour: _Triple) -> list[_Part]:
    length, width, height = size
    waist = 0.5 * height
    return [
        ((0, 0, waist / 2), (length, width, waist), Material.CAR_BODY, colour),
        (
            (-0.09 * length, 0, (waist + height) / 2),
            (0.82 * length, 0.96 * width, height - waist),
            Material.CAR_CABIN,
            colour,
        ),
    ]


def _truck(size: _Triple, colour: _Triple) -> list[_Part]:
    length, width, height = size
    cab, deck = 2.1, 0.9
    return [
        ((0, 0, deck / 2), (length, width, deck), Material.CAR_BODY, (0.06, 0.06, 0.06)),
        (
            (length / 2 - cab / 2, 0, (deck + 0.8 * height) / 2),
            (cab, width, 0.8 * height - deck),
            Material.CAR_CABIN,
            colour,
        ),
        (
            (-cab / 2 - 0.1, 0, (deck + height) / 2),
            (length - cab - 0.2, width, height - deck),
            Material.PLAIN,
            (0.7, 0.7, 0.68),
        ),
    ]


def _cyclist(size: _Triple, colour: _Triple) -> list[_Part]:
    length, width, height = size
    return [
        ((0, 0, 0.45), (length, 0.08, 0.9), Material.PLAIN, (0.05, 0.05, 0.05)),
        ((-0.1, 0, (0.8 + height - 0.25) / 2), (0.4, width, height - 1.05), Material.PLAIN, colour),
        ((0, 0, height - 0.13), (0.24, 0.2, 0.26), Material.PLAIN, SKIN),
    ]


def _pedestrian(size: _Triple, colour: _Triple) -> list[_Part]:
    length, width, height = size
    return [
        ((0, 0, 0.42), (0.6 * length, 0.7 * width, 0.84), Material.PLAIN, (0.04, 0.045, 0.07)),
        ((0, 0, (0.84 + height - 0.26) / 2), (length, width, height - 1.1), Material.PLAIN, colour),
        ((0, 0, height - 0.13), (0.22, 0.2, 0.26), Material.PLAIN, SKIN),
    ]


_PARTS = {"car": _car, "van": _van, "truck": _truck, "cyclist": _cyclist, "pedestrian": _pedestrian}


def random_vehicle(rng: np.random.Generator, track_id: str, moving: bool) -> Agent:
    """A car, mostly."""
    kinds = ("car", "van", "truck", "cyclist") if moving else ("car", "van")
    shares = (0.74, 0.12, 0.07, 0.07) if moving else (0.85, 0.15)
    category = kinds[int(rng.choice(len(kinds), p=shares))]
    a, b, c = (float(value) for value in rng.random(3))
    size = {
        "car": (3.9 + 0.9 * a, 1.7 + 0.2 * b, 1.4 + 0.25 * c),
        "van": (4.8 + 0.8 * a, 1.9 + 0.1 * b, 1.95 + 0.3 * c),
        "truck": (6.5 + 1.5 * a, 2.2 + 0.1 * b, 2.8 + 0.4 * c),
        "cyclist": (1.7, 0.5, 1.75),
    }[category]
    paints = CLOTHES if category == "cyclist" else CAR_PAINTS
    return Agent(track_id, category, size, paints[int(rng.integers(len(paints)))], moving)


def random_pedestrian(rng: np.random.Generator, track_id: str) -> Agent:
    """Somebody on foot."""
    size = (0.32, 0.5, float(rng.uniform(1.55, 1.9)))
    return Agent(track_id, "pedestrian", size, CLOTHES[int(rng.integers(len(CLOTHES)))], True)


@dataclass(frozen=True)
class Mover:
    """An agent that goes round a loop at constant speed."""

    agent: Agent
    loop: Loop
    start_m: float
    speed: float

    def pose(self, time_s: float) -> Pose2:
        """x, y and yaw at a time of the log."""
        return self.loop.pose(self.start_m + self.speed * time_s)


def block_traffic(plan: StreetPlan, block: Block, with_vehicles: bool) -> list[Mover]:
    """All that moves around one block: vehicles on its lane (one speed, so none catches up), people on its pavement."""
    rng = seeded(plan.seed, plan.log, "traffic", *block)
    name = f"{block[0]}_{block[1]}"
    movers = []
    lane = plan.ring(block, 0.5 * LANE_M, 6.0)
    speed, count, phase = float(rng.uniform(3.5, 10.0)), int(rng.integers(2, 7)), float(rng.random())
    for index in range(count):
        agent = random_vehicle(rng, f"vehicle-{name}-{index}", moving=True)
        slot = (index + phase + float(rng.uniform(-0.25, 0.25))) / count
        if with_vehicles:
            movers.append(Mover(agent, lane, slot * lane.length_m, speed))
    for way, inset in enumerate(PEDESTRIAN_INSETS_M):
        walk = plan.ring(block, inset, 1.0, clockwise=bool(way))
        pace, people = float(rng.uniform(1.0, 1.6)), int(rng.integers(0, 5))
        for index in range(people):
            agent = random_pedestrian(rng, f"person-{name}-{way}-{index}")
            movers.append(
                Mover(agent, walk, float(rng.random()) * walk.length_m / people + walk.length_m * index / people, pace)
            )
    return movers
