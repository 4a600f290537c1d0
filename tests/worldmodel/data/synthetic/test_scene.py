import numpy as np
import pytest

from worldmodel.data.synthetic.agents import Agent, block_traffic, random_pedestrian, random_vehicle
from worldmodel.data.synthetic.blocks import build_block
from worldmodel.data.synthetic.scene import DETAIL_REACH_M, LogWorld, Scene
from worldmodel.data.synthetic.solids import Material, SolidsBuilder
from worldmodel.data.synthetic.streets import HALF_ROAD_M, StreetPlan


@pytest.fixture(scope="module")
def world() -> LogWorld:
    return LogWorld(seed=0, log=1, duration_s=60)


def _agents() -> list[Agent]:
    rng = np.random.default_rng(0)
    vehicles = [random_vehicle(rng, f"v{k}", moving=True) for k in range(60)]
    return [*vehicles, *(random_pedestrian(rng, f"p{k}") for k in range(3))]


def test_an_annotated_box_is_the_union_of_the_agents_parts() -> None:
    agents = _agents()
    assert {agent.category for agent in agents} == {"car", "van", "truck", "cyclist", "pedestrian"}
    for agent in agents:
        builder = SolidsBuilder()
        agent.build(builder, (0.0, 0.0, 0.0), owner=0)
        parts = builder.build()
        low, high = (parts.centre - parts.half).min(0), (parts.centre + parts.half).max(0)
        np.testing.assert_allclose(high - low, agent.size_m, atol=1e-5)
        np.testing.assert_allclose((high + low) / 2, agent.box((0, 0, 0)).world_from_box[:3, 3], atol=1e-5)


def test_a_box_follows_its_agents_pose() -> None:
    agent = _agents()[0]
    box = agent.box((3.0, 4.0, 0.3))
    forward = box.world_from_box[:3, 0]
    np.testing.assert_allclose(forward, [np.cos(0.3), np.sin(0.3), 0])
    np.testing.assert_allclose(box.world_from_box[:2, 3], [3, 4])
    assert box.moving


def test_a_block_is_a_function_of_its_place() -> None:
    one, again, other = (build_block(StreetPlan(0, 0), block) for block in ((2, -1), (2, -1), (2, 0)))
    np.testing.assert_array_equal(one.solids.centre, again.solids.centre)
    assert len(one.solids) != len(other.solids) or not np.array_equal(one.solids.centre, other.solids.centre)


@pytest.mark.parametrize("block", [(0, 0), (3, -2), (-5, 7)])
def test_buildings_stand_on_the_block_and_parked_cars_at_its_kerb(block: tuple[int, int]) -> None:
    plan = StreetPlan(0, 4)
    contents = build_block(plan, block)
    x0, y0, x1, y1 = plan.bounds(block)
    middle, room = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0]) / 2 - HALF_ROAD_M
    houses = contents.solids.centre[contents.solids.material == Material.FACADE]
    assert len(houses) > 4
    assert (np.abs(houses[:, :2] - middle) < room).all()
    assert len(contents.parked) > 0
    for agent, (x, y, _) in contents.parked:
        outside = np.abs(np.array([x, y]) - middle) - room
        assert agent.size_m[1] / 2 < outside.max() < 2.3
        assert not agent.moving


def _footprint(agent: Agent, pose: tuple[float, float, float]) -> np.ndarray:
    length, width, _ = agent.size_m
    x, y, yaw = pose
    along, across = np.meshgrid(np.linspace(-0.5, 0.5, 9) * length, np.linspace(-0.5, 0.5, 5) * width)
    points = np.exp(1j * yaw) * (along + 1j * across) + complex(x, y)
    return np.asarray(points.ravel())


def _overlap(agent: Agent, pose: tuple[float, float, float], points: np.ndarray) -> bool:
    local = (points - complex(*pose[:2])) * np.exp(-1j * pose[2])
    length, width, _ = agent.size_m
    return bool(((np.abs(local.real) < length / 2 - 0.02) & (np.abs(local.imag) < width / 2 - 0.02)).any())


@pytest.mark.parametrize("log", [1, 2, 5])
def test_vehicles_never_run_into_each_other_or_the_ego(log: int) -> None:
    world = LogWorld(seed=0, log=log, duration_s=40)
    ego = Agent("ego", "car", (4.4, 1.8, 1.5), (0, 0, 0), True)
    for time_s in np.arange(0, 40, 2.0):
        scene = world.scene(float(time_s))
        x, y, _ = scene.ego
        placed = [
            (agent, pose)
            for agent, pose in [*scene.agents, (ego, scene.ego)]
            if agent.category != "pedestrian" and np.hypot(pose[0] - x, pose[1] - y) < 45
        ]
        for k, (agent, pose) in enumerate(placed):
            points = _footprint(agent, pose)
            assert not any(_overlap(*other, points) for other in placed[:k]), f"{agent.track_id} at {time_s} s"


def test_moving_agents_move_and_parked_ones_stay(world: LogWorld) -> None:
    then, now = (_poses(world.scene(time_s)) for time_s in (2.0, 2.5))
    common = set(then) & set(now)
    moved = {track: np.hypot(*np.subtract(now[track][:2], then[track][:2])) for track in common}
    assert any(not track.startswith("parked") for track in common)
    assert all((metres < 1e-9) == track.startswith("parked") for track, metres in moved.items())


def _poses(scene: Scene) -> dict[str, tuple[float, float, float]]:
    return {agent.track_id: pose for agent, pose in scene.agents}


def test_a_scene_is_a_function_of_time_not_of_what_was_seen_before(world: LogWorld) -> None:
    fresh = LogWorld(seed=0, log=1, duration_s=60).scene(30.0)
    world.scene(3.0)
    again = world.scene(30.0)
    np.testing.assert_array_equal(fresh.solids.centre, again.solids.centre)
    assert [agent.track_id for agent, _ in fresh.agents] == [agent.track_id for agent, _ in again.agents]


def test_a_scene_holds_houses_far_off_and_details_nearby(world: LogWorld) -> None:
    scene = world.scene(0.0)
    distance = np.hypot(*(scene.solids.centre[:, :2] - scene.ego[:2]).T)
    assert distance[scene.solids.material == Material.FACADE].max() > 120
    assert distance[scene.solids.material == Material.FOLIAGE].max() < DETAIL_REACH_M


def test_owners_point_at_their_agents(world: LogWorld) -> None:
    scene = world.scene(5.0)
    owned = np.flatnonzero(scene.solids.owner >= 0)
    assert len(owned) > 20
    for row in owned:
        agent, pose = scene.agents[scene.solids.owner[row]]
        assert np.hypot(*(scene.solids.centre[row, :2] - pose[:2])) < agent.size_m[0]


def test_traffic_goes_round_its_block_clockwise_on_the_lane_beside_it() -> None:
    plan = StreetPlan(0, 0)
    x0, y0, x1, y1 = plan.bounds((0, 0))
    movers = [m for m in block_traffic(plan, (0, 0), with_vehicles=True) if m.agent.category != "pedestrian"]
    assert movers
    for mover in movers:
        x, y, yaw = mover.pose(7.0)
        assert x0 < x < x1
        assert y0 < y < y1
        outward = np.array([x - (x0 + x1) / 2, y - (y0 + y1) / 2])
        assert outward[0] * np.sin(yaw) - outward[1] * np.cos(yaw) < 0
    on_foot = block_traffic(plan, (0, 0), with_vehicles=False)
    assert {mover.agent.category for mover in on_foot} <= {"pedestrian"}
