"""The synthetic source: logs of a procedural street world, the embedded default that needs no download.

`WORLD_VERSION` names the world: anything that changes a byte of a clip must change it, so that numbers measured
on different worlds are never compared.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from worldmodel.data.schema import Box, Clip
from worldmodel.data.synthetic.atmosphere import Atmosphere, atmosphere
from worldmodel.data.synthetic.config import SyntheticCamera, SyntheticConfig, TimeOfDay, Weather
from worldmodel.data.synthetic.lidar import Lidar
from worldmodel.data.synthetic.renderer import Image, Pinhole, render
from worldmodel.data.synthetic.scene import LogWorld, Scene
from worldmodel.data.synthetic.solids import F64
from worldmodel.data.synthetic.streets import Pose2, lane_lines, seeded
from worldmodel.errors import DataError

Choice = TypeVar("Choice", bound=str)

WORLD_VERSION = "1"
ANNOTATED_M = 60.0
LANES_M = 80.0
_WEATHER_WEIGHT = {"clear": 0.5, "overcast": 0.25, "rain": 0.125, "fog": 0.125}
_TIME_WEIGHT = {"day": 0.65, "dusk": 0.2, "night": 0.15}
_WEATHER_TEXT = {"clear": "clear sky", "overcast": "overcast sky", "rain": "rain", "fog": "fog"}
_TIME_TEXT = {"day": "by day", "dusk": "at dusk", "night": "at night"}


class SyntheticSource:
    """Logs that are pure functions of (world version, config, seed, log index)."""

    name = "synthetic"
    licence = "Apache-2.0"

    def __init__(self, config: SyntheticConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def digest(self) -> str:
        """Identity of the world itself; config and seed are parameters, tracked as such."""
        return hashlib.sha256(f"synthetic world {WORLD_VERSION}".encode()).hexdigest()

    def log_ids(self) -> list[str]:
        """`synthetic-0000` and on."""
        return [f"synthetic-{index:04d}" for index in range(self.config.logs)]

    def read_log(self, log_id: str) -> list[Clip]:
        """The clips of one log, one after the other in time.

        Raises:
            DataError: no such log.
        """
        if log_id not in self.log_ids():
            raise DataError(
                f"synthetic: no log {log_id}", expected=f"one of {self.config.logs} logs, synthetic-0000 and on"
            )
        return _Recording(self.config, self.seed, log_id).clips()


class _Recording:
    """One log being driven and recorded."""

    def __init__(self, config: SyntheticConfig, seed: int, log_id: str) -> None:
        self.config, self.seed, self.log_id = config, seed, log_id
        self.log = int(log_id.rpartition("-")[2])
        self.world = LogWorld(seed, self.log, config.clips_per_log * config.frames / config.rate_hz)
        rng = seeded(seed, self.log, "weather")
        self.weather: Weather = _draw(rng, config.weathers, _WEATHER_WEIGHT)
        self.time_of_day: TimeOfDay = _draw(rng, config.times_of_day, _TIME_WEIGHT)
        self.air: Atmosphere = atmosphere(self.weather, self.time_of_day, rng)
        self.gains = np.exp(rng.normal(0, 0.03, len(config.cameras)))
        self.lidar = Lidar(config.lidar_rings, config.lidar_azimuths)

    @cached_property
    def cameras(self) -> list[tuple[Pinhole, F64]]:
        """Each camera's pixels and `ego_from_camera`."""
        return [_camera(camera, self.config.height, self.config.width) for camera in self.config.cameras]

    def clips(self) -> list[Clip]:
        return [self._clip(index) for index in range(self.config.clips_per_log)]

    def _clip(self, index: int) -> Clip:
        frames = range(index * self.config.frames, (index + 1) * self.config.frames)
        scenes, images, points, seen = [], [], [], set()
        for frame in frames:
            scene = self.world.scene(frame / self.config.rate_hz)
            row = self._images(scene, frame)
            cloud, hit = self.lidar.scan(scene, _world_from_ego(scene.ego), seeded(self.seed, self.log, "lidar", frame))
            scenes.append(scene)
            images.append(row)
            points.append(cloud)
            seen |= {scene.agents[k][0].track_id for k in hit.union(*(image.seen for image in row))}
        poses = np.stack([_world_from_ego(scene.ego) for scene in scenes])
        middle = scenes[len(scenes) // 2].ego
        return Clip(
            clip_id=f"{self.log_id}-{index:03d}",
            log_id=self.log_id,
            source=SyntheticSource.name,
            licence=SyntheticSource.licence,
            cameras=tuple(camera.name for camera in self.config.cameras),
            rate_hz=self.config.rate_hz,
            times_s=np.arange(self.config.frames) / self.config.rate_hz,
            rgb=np.array([[image.rgb for image in row] for row in images]),
            Ks=np.stack([camera.K for camera, _ in self.cameras]),
            world_from_camera=poses[:, None] @ np.stack([pose for _, pose in self.cameras]),
            world_from_ego=poses,
            depth=np.array([[image.depth for image in row] for row in images]),
            depth_kind="dense",
            sky=np.array([[image.sky for image in row] for row in images]),
            dynamic=np.array([[image.dynamic for image in row] for row in images]),
            points=tuple(points),
            boxes=tuple(_boxes(scene, seen) for scene in scenes),
            lanes=tuple(lane_lines(self.world.plan, middle[0], middle[1], LANES_M)),
            tags={"weather": self.weather, "time_of_day": self.time_of_day},
            text=f"Driving through a city street {_TIME_TEXT[self.time_of_day]}, {_WEATHER_TEXT[self.weather]}.",
        )

    def _images(self, scene: Scene, frame: int) -> list[Image]:
        jitter = np.exp(seeded(self.seed, self.log, "exposure", frame).normal(0, 0.015, len(self.cameras)))
        ego = _world_from_ego(scene.ego)
        return [
            render(scene, camera, ego @ pose, self.air, float(gain))
            for (camera, pose), gain in zip(self.cameras, self.gains * jitter, strict=True)
        ]


def _draw(rng: np.random.Generator, choices: Sequence[Choice], weights: dict[str, float]) -> Choice:
    weight = np.array([weights[choice] for choice in choices])
    return choices[int(rng.choice(len(choices), p=weight / weight.sum()))]


def _boxes(scene: Scene, seen: set[str]) -> tuple[Box, ...]:
    """Boxes of the agents that something saw in the clip, while they are near."""
    x, y, _ = scene.ego
    return tuple(
        agent.box(pose)
        for agent, pose in scene.agents
        if agent.track_id in seen and np.hypot(pose[0] - x, pose[1] - y) < ANNOTATED_M
    )


def _world_from_ego(pose: Pose2) -> F64:
    x, y, yaw = pose
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    matrix[:2, 3] = x, y
    return matrix


def _camera(camera: SyntheticCamera, height: int, width: int) -> tuple[Pinhole, F64]:
    focal = 0.5 * width / np.tan(np.deg2rad(camera.hfov_deg) / 2)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    yaw = np.deg2rad(camera.yaw_deg)
    forward, right = [np.cos(yaw), np.sin(yaw), 0], [np.sin(yaw), -np.cos(yaw), 0]
    ego_from_camera = np.eye(4)
    ego_from_camera[:3, :3] = np.stack([right, [0, 0, -1], forward], -1)
    ego_from_camera[:3, 3] = camera.position_m
    return Pinhole(K, height, width), ego_from_camera
