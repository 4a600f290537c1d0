"""A toy world for tests: a textured ground plane and a wall, ray-cast for cameras that drive towards it."""

import numpy as np

from worldmodel.data.schema import Clip
from worldmodel.geometry.poses import pixel_directions

HEIGHT, WIDTH = 16, 24
WALL_M, CAMERA_HEIGHT_M = 14.0, 1.5


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
