"""A small ray-cast clip: a textured ground plane and a wall, seen by cameras that drive forward."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from worldmodel.data.schema import Clip
from worldmodel.geometry.poses import pixel_directions
from worldmodel.worldrec.config import LatticeConfig, TrainConfig, WorldRecConfig
from worldmodel.worldrec.views import ClipTensors

HEIGHT, WIDTH = 16, 24
WALL_M, CAMERA_HEIGHT_M = 14.0, 1.5


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def make_clip(name: str = "clip", frames: int = 8, cameras: int = 2, source: str = "toy", seed: int = 0) -> Clip:
    """Ground z = 0 and a wall ahead, textured by sines of the position; sky above the wall."""
    K = np.array([[20.0, 0, WIDTH / 2], [0, 20.0, HEIGHT / 2], [0, 0, 1]])
    ego = np.repeat(np.eye(4)[None], frames, 0)
    ego[:, 0, 3] = 0.4 * np.arange(frames)
    ego_from_camera = np.repeat(np.eye(4)[None], cameras, 0)
    for index in range(cameras):
        yaw = 0.4 * index - 0.2 * (cameras - 1)
        forward, right = [np.cos(yaw), np.sin(yaw), 0], [np.sin(yaw), -np.cos(yaw), 0]
        ego_from_camera[index, :3, :3] = np.stack([right, [0, 0, -1], forward], -1)
        ego_from_camera[index, 2, 3] = CAMERA_HEIGHT_M
    poses = ego[:, None] @ ego_from_camera
    rgb, depth = _cast(poses, pixel_directions(K, HEIGHT, WIDTH), np.random.default_rng(seed).uniform(0.5, 2, 6))
    return Clip(
        clip_id=name,
        log_id=f"log-{name}",
        source=source,
        licence="Apache-2.0",
        cameras=tuple(f"camera{index}" for index in range(cameras)),
        rate_hz=10.0,
        times_s=np.arange(frames) / 10,
        rgb=rgb,
        Ks=np.repeat(K[None], cameras, 0),
        world_from_camera=poses,
        world_from_ego=ego,
        depth=depth,
        depth_kind="dense",
        sky=depth == 0,
    )


def _cast(poses: np.ndarray, rays: np.ndarray, waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    origins = poses[:, :, None, None, :3, 3]
    directions = np.einsum("tvij,hwj->tvhwi", poses[..., :3, :3], rays)
    with np.errstate(divide="ignore"):
        ground = np.where(directions[..., 2] < 0, -origins[..., 2] / directions[..., 2], np.inf)
        wall = np.where(directions[..., 0] > 0, (WALL_M - origins[..., 0]) / directions[..., 0], np.inf)
    high = origins[..., 2] + np.where(np.isfinite(wall), wall, 0) * directions[..., 2] > 4
    depth = np.minimum(ground, np.where(high, np.inf, wall))
    hit = np.isfinite(depth)
    points = origins + np.where(hit, depth, 0)[..., None] * directions
    phase = points @ waves[:3, None] + waves[3:]
    color = np.where(hit[..., None], 0.5 + 0.4 * np.sin(phase), [0.6, 0.7, 0.9])
    return (color * 255).round().astype(np.uint8), np.where(hit, depth, 0).astype(np.float32)


@pytest.fixture(scope="session")
def clip() -> Clip:
    return make_clip()


@pytest.fixture(scope="session")
def clips(clip: Clip) -> list[ClipTensors]:
    """Two clips of the toy world, and one of another source with three cameras and three frames."""
    others = [make_clip("other", seed=1), make_clip("short", frames=3, cameras=3, source="recorded", seed=2)]
    return [ClipTensors.from_clip(c, range(len(c.times_s))) for c in (clip, *others)]


@pytest.fixture(scope="session")
def small() -> WorldRecConfig:
    """A network that runs in milliseconds and has every part."""
    return WorldRecConfig(
        channels=(8, 16),
        width=16,
        rounds=2,
        hypotheses=3,
        matching=4,
        groups=2,
        motion_tokens=2,
        depth_bins=8,
        sky_width=8,
        lattice=LatticeConfig(azimuths=6, pitches=2, shells=2),
    )


@pytest.fixture(scope="session")
def short_run() -> TrainConfig:
    return TrainConfig(
        steps=12, warmup=2, targets=2, checkpoint_every=4, validate_every=6, log_every=3, validation_clips=1
    )
