"""A log's world at one instant: all boxes within reach of the ego, and the agents they belong to."""

from dataclasses import dataclass, replace

import numpy as np

from worldmodel.data.synthetic.agents import Agent, Mover, block_traffic, random_vehicle
from worldmodel.data.synthetic.blocks import BlockContents, build_block
from worldmodel.data.synthetic.motion import EgoDrive, drive
from worldmodel.data.synthetic.solids import F64, NO_OWNER, Material, Solids, SolidsBuilder, concatenate
from worldmodel.data.synthetic.streets import Block, Pose2, Route, StreetPlan, ego_route, seeded

REACH_M = 150.0
DETAIL_REACH_M = 80.0
GROUND_REACH_M = 400.0
_LARGE = (Material.PAVEMENT, Material.FACADE)


@dataclass(frozen=True)
class Scene:
    """One instant. `agents[k]` has its pose and owns the solids whose owner is k; `lines` are the streets' centres."""

    ego: Pose2
    solids: Solids
    agents: tuple[tuple[Agent, Pose2], ...]
    lamps: F64
    lines: tuple[F64, F64]


class LogWorld:
    """The world of one log, as a function of time. Blocks are built when they first come within reach."""

    def __init__(self, seed: int, log: int, duration_s: float) -> None:
        self.plan = StreetPlan(seed, log)
        self.route: Route = ego_route(self.plan)
        self.ego: EgoDrive = drive(self.plan, self.route, duration_s)
        self._lead = random_vehicle(seeded(seed, log, "lead"), "lead", moving=True)
        self._blocks: dict[Block, BlockContents] = {}
        self._traffic: dict[Block, list[Mover]] = {}

    def scene(self, time_s: float) -> Scene:
        """Everything within REACH_M of the ego (small things: DETAIL_REACH_M)."""
        ego = self.ego.pose(time_s)
        x, y, _ = ego
        parts: list[Solids] = [_ground(x, y)]
        agents: list[tuple[Agent, Pose2]] = []
        lamps = []
        blocks = self.plan.blocks_near(x, y, REACH_M)
        for block in blocks:
            contents = self._contents(block)
            owner = np.where(contents.solids.owner == NO_OWNER, NO_OWNER, contents.solids.owner + len(agents))
            parts.append(replace(contents.solids, owner=owner.astype(np.int32)))
            agents += contents.parked
            lamps.append(contents.lamps)
        parts.append(self._movers(self.plan.blocks_near(x, y, DETAIL_REACH_M), time_s, agents))
        return Scene(
            ego,
            _within_reach(concatenate(parts), x, y),
            tuple(agents),
            np.concatenate(lamps),
            (self.plan.lines_near(0, x, GROUND_REACH_M), self.plan.lines_near(1, y, GROUND_REACH_M)),
        )

    def _contents(self, block: Block) -> BlockContents:
        if block not in self._blocks:
            self._blocks[block] = build_block(self.plan, block)
        return self._blocks[block]

    def _movers(self, blocks: list[Block], time_s: float, agents: list[tuple[Agent, Pose2]]) -> Solids:
        """Builds what moves, and appends it to the agents."""
        builder = SolidsBuilder()
        moving = [(mover.agent, mover.pose(time_s)) for block in blocks for mover in self._block_traffic(block)]
        if self.ego.has_lead:
            moving.append((self._lead, self.ego.lead_pose(time_s)))
        for agent, pose in moving:
            agent.build(builder, pose, owner=len(agents))
            agents.append((agent, pose))
        return builder.build()

    def _block_traffic(self, block: Block) -> list[Mover]:
        if block not in self._traffic:
            self._traffic[block] = block_traffic(self.plan, block, with_vehicles=block not in self.route.taken)
        return self._traffic[block]


def _ground(x: float, y: float) -> Solids:
    builder = SolidsBuilder()
    builder.add((x, y, -1.0), (2 * GROUND_REACH_M, 2 * GROUND_REACH_M, 2.0), Material.ASPHALT, (0.1, 0.1, 0.105))
    return builder.build()


def _within_reach(solids: Solids, x: float, y: float) -> Solids:
    distance = np.hypot(solids.centre[:, 0] - x, solids.centre[:, 1] - y)
    return solids.take(
        (distance < DETAIL_REACH_M) | np.isin(solids.material, _LARGE) | (solids.material == Material.ASPHALT)
    )
