"""A street whose depth, poses and LiDAR points are exact: a textured ground plane between two walls, ray-cast."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.checks.config import ValidateConfig
from worldmodel.data.clip_codec import encode_clip
from worldmodel.data.manifest import describe_clip, write_manifest
from worldmodel.data.schema import Box, Clip
from worldmodel.data.shards import PackedClip, pack_clip, write_shard
from worldmodel.geometry.poses import pixel_directions

HEIGHT, WIDTH, FRAMES, RATE_HZ = 40, 64, 6, 10.0
CAMERA_HEIGHT_M, WALL_M, END_M = 1.5, 8.0, 120.0
YAWS = {"left": 0.9, "front": 0.0, "right": -0.9}
EGO_FROM_FRONT = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, CAMERA_HEIGHT_M], [0, 0, 0, 1]])

Prepare = Callable[..., Path]


def _distance(origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How many `directions` [..., 3] it is from `origin` to the first surface."""
    with np.errstate(divide="ignore"):
        ground = np.where(directions[..., 2] < 0, -origin[2] / directions[..., 2], np.inf)
        wall = (np.sign(directions[..., 1]) * WALL_M - origin[1]) / directions[..., 1]
        end = np.where(directions[..., 0] > 0, (END_M - origin[0]) / directions[..., 0], np.inf)
    return np.minimum(np.minimum(ground, np.where(wall > 0, wall, np.inf)), end)


def _yaw(angle: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return pose


def make_clip(number: int, *, log: str | None = None, frames: int = FRAMES) -> Clip:
    rng = np.random.default_rng(number)
    K = np.array([[32.0, 0, WIDTH / 2], [0, 32.0, HEIGHT / 2], [0, 0, 1]])
    world_from_ego = np.stack([np.eye(4)] * frames)
    world_from_ego[:, 0, 3] = number + 1.2 * np.arange(frames)
    cameras = np.stack([_yaw(angle) @ EGO_FROM_FRONT for angle in YAWS.values()])
    world_from_camera = world_from_ego[:, None] @ cameras
    directions = np.einsum("tvij,hwj->tvhwi", world_from_camera[..., :3, :3], pixel_directions(K, HEIGHT, WIDTH))
    origins = world_from_camera[..., :3, 3]
    depth = np.stack(
        [[_distance(o, d) for o, d in zip(*row, strict=True)] for row in zip(origins, directions, strict=True)]
    )
    hits = origins[:, :, None, None] + depth[..., None] * directions
    texture = np.sin(hits * rng.uniform(1, 3, 3) + rng.uniform(0, 6, 3))
    points = []
    for pose in world_from_ego:
        rays = rng.normal(size=(3000, 3)) * (1, 1, 0.3)
        lidar = np.array([0.0, 0, 1.8])
        points.append((lidar + _distance(pose[:3, 3] + lidar, rays)[:, None] * rays).astype(np.float32))
    box = Box("car-1", "car", _yaw(0.3), (4.5, 1.8, 1.5))
    return Clip(
        clip_id=f"clip-{number:02d}",
        log_id=log or f"log-{number:02d}",
        source="street",
        licence="CC0-1.0",
        cameras=tuple(YAWS),
        rate_hz=RATE_HZ,
        times_s=np.arange(frames) / RATE_HZ,
        rgb=(127 + 100 * texture).clip(0, 255).astype(np.uint8),
        Ks=np.stack([K] * len(YAWS)),
        world_from_camera=world_from_camera,
        world_from_ego=world_from_ego,
        depth=depth.astype(np.float32),
        depth_kind="dense",
        dynamic=np.zeros(depth.shape, bool),
        points=tuple(points),
        boxes=((box,),) * frames,
        layout_rgb=np.where(texture > 0.9, 255, 0).astype(np.uint8),
    )


def as_lidar(clip: Clip, keep: float = 0.2) -> Clip:
    """The clip with depth in a fifth of its pixels."""
    assert clip.depth is not None
    kept = np.random.default_rng(0).random(clip.depth.shape) < keep
    return replace(clip, depth=np.where(kept, clip.depth, 0).astype(np.float32), depth_kind="lidar")


def pack_unchecked(clip: Clip) -> PackedClip:
    """As `pack_clip` does, for clips that prepare would refuse: what a foreign writer could have left in a shard."""
    import hashlib
    import tarfile

    blocks, digest = bytearray(), hashlib.sha256()
    for name, content in encode_clip(clip):
        header = tarfile.TarInfo(name)
        header.size = len(content)
        blocks += header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)
        digest.update(content)
    return PackedClip(bytes(blocks), digest.hexdigest())


@dataclass(frozen=True)
class Street:
    """What the tests of this folder need of the street, as one fixture."""

    clip: Callable[..., Clip] = make_clip
    as_lidar: Callable[..., Clip] = as_lidar


@pytest.fixture(scope="session")
def street() -> Street:
    return Street()


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Six fit clips of six logs."""
    return [make_clip(number) for number in range(6)]


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Writes clips as `artifacts/prepare` holds them: four to train on, then val, then test."""

    def write(clips: Iterable[Clip], *, checked: bool = True, **changes: Any) -> Path:
        packed = [(clip, pack_clip(clip) if checked else pack_unchecked(clip)) for clip in clips]
        root = tmp_path_factory.mktemp("prepare")
        (root / "shards").mkdir(parents=True)
        offsets = write_shard(root / "shards" / "shard-00000.tar", [p.data for _, p in packed])
        rows: list[Any] = []
        for place, ((clip, pack), offset) in enumerate(zip(packed, offsets, strict=True)):
            split = "train" if place < 4 else ("val", "test")[place % 2]
            where = {"split": split, "heldout_frames": [], "shard": "shard-00000.tar", "offset": offset}
            size = {"byte_size": len(pack.data), "sha256": pack.sha256}
            rows.append({**describe_clip(clip), **where, **size, **changes.get(clip.clip_id.replace("-", "_"), {})})
        write_manifest(root / "clips.parquet", rows)
        return root

    return write


@pytest.fixture(scope="session")
def config() -> ValidateConfig:
    minimum = {"train": 2, "val": 1, "test": 1}
    return ValidateConfig.model_validate({"licences": ["CC0-1.0"], "min_clips": minimum, "clips_per_stratum": 8})
