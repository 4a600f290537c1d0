"""Small clips made by hand and small DGP scenes on disk."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldmodel.data.manifest import ClipRow, Split, describe_clip, write_manifest
from worldmodel.data.schema import Box, Clip
from worldmodel.data.shards import pack_clip, write_shard

MakeClip = Callable[..., Clip]

# a camera's axes in the ego frame: looking forward, and looking left
FORWARD = {"qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}
LEFT = {"qw": np.sqrt(0.5), "qx": -np.sqrt(0.5), "qy": 0.0, "qz": 0.0}
LEVEL = {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}


@pytest.fixture
def make_clip() -> MakeClip:
    """A clip with everything that a clip can have; keywords replace fields."""

    def make(clip_id: str = "log-0-000", log_id: str = "log-0", n_frames: int = 4, **changes: Any) -> Clip:
        rng = np.random.default_rng(len(clip_id))
        T, V, H, W = n_frames, 2, 6, 8
        poses = np.tile(np.eye(4), (T, 1, 1))
        poses[:, 0, 3] = np.arange(T) / 3
        clip = Clip(
            clip_id=clip_id,
            log_id=log_id,
            source="hand",
            licence="CC0-1.0",
            cameras=("left", "right"),
            rate_hz=10.0,
            times_s=np.arange(T) / 10,
            rgb=rng.integers(0, 256, (T, V, H, W, 3), dtype=np.uint8),
            Ks=np.tile([[7.3, 0, 4.0], [0, 7.1, 3.0], [0, 0, 1]], (V, 1, 1)),
            world_from_camera=np.tile(poses[:, None], (1, V, 1, 1)),
            world_from_ego=poses,
            depth=rng.uniform(0, 90, (T, V, H, W)).astype(np.float32),
            depth_kind="dense",
            sky=rng.random((T, V, H, W)) < 0.3,
            dynamic=rng.random((T, V, H, W)) < 0.3,
            points=tuple(rng.normal(size=(3 + t, 3)).astype(np.float32) for t in range(T)),
            boxes=tuple((Box("7", "car", poses[t], (4.5, 1.9, 1.6), moving=True),) for t in range(T)),
            lanes=(np.array([[0.0, 1 / 3, 0.0], [50.0, 1 / 3, 0.1]]),),
            layout_rgb=rng.integers(0, 256, (T, V, H, W, 3), dtype=np.uint8),
            tags={"weather": "rain", "time_of_day": "dusk", "seed": "1"},
            text="a wet street",
        )
        return replace(clip, **changes)

    return make


@pytest.fixture
def bare(make_clip: MakeClip) -> Clip:
    """A clip with pixels alone."""
    absent = ("Ks", "world_from_camera", "world_from_ego", "depth", "depth_kind", "sky", "dynamic", "points", "boxes")
    return make_clip("bare-000", "bare", tags={}, **dict.fromkeys((*absent, "lanes", "layout_rgb", "text")))


@pytest.fixture
def write_store(tmp_path: Path) -> Callable[..., Path]:
    """Writes clips as the prepare stage does, one shard for all."""

    def write(clips: list[Clip], split: Split = "train", heldout_frames: tuple[int, ...] = ()) -> Path:
        root = tmp_path / "store"
        packed = [pack_clip(clip) for clip in clips]
        offsets = write_shard(root / "shards" / "shard-00000.tar", [clip.data for clip in packed])
        rows: list[ClipRow] = [
            {
                **describe_clip(clip),
                "split": split,
                "heldout_frames": list(heldout_frames),
                "shard": "shard-00000.tar",
                "offset": offset,
                "byte_size": len(data.data),
                "sha256": data.sha256,
            }
            for clip, data, offset in zip(clips, packed, offsets, strict=True)
        ]
        write_manifest(root / "clips.parquet", rows)
        return root

    return write


@pytest.fixture
def write_scenes(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of DGP scenes: `street/scene_00`, ... with two cameras, a LiDAR and a moving and a parked car."""

    def write(n_scenes: int = 1, n_frames: int = 3, name: str = "street") -> Path:
        root = tmp_path / name
        root.mkdir()
        (root / "LICENSE").write_text("The MIT License\n\nCopyright\n")
        for index in range(n_scenes):
            _write_scene(root / f"scene_{index:02d}", n_frames, shade=10 * index)
        return root

    return write


def pose(x: float, y: float, z: float, rotation: dict[str, float] = LEVEL) -> dict[str, Any]:
    return {"translation": {"x": x, "y": y, "z": z}, "rotation": dict(rotation)}


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _write_scene(folder: Path, n_frames: int, shade: int) -> None:
    """The ego drives along +x, 1 m a frame, from (100, -50, 2); the LiDAR sits 2 m above it."""
    data: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for t in range(n_frames):
        x, y, z = 100.0 + t, -50.0, 2.0
        # stamps as in TRI's test scene: centuries ahead, ten times too far apart
        stamp = f"2464-11-12T01:04:{10 + t:02d}.000000Z"
        np.savez(_made(folder / f"point_cloud/LIDAR/{t}.npz"), data=_returns())
        write_json(folder / f"bounding_box_3d/LIDAR/{t}.json", {"annotations": [_car(7, 10.0 + t), _car(8, 20.0 - t)]})
        cloud = {
            "filename": f"point_cloud/LIDAR/{t}.npz",
            "point_format": ["X", "Y", "Z", "INTENSITY"],
            "pose": pose(x, y, z + 2),
            "annotations": {"1": f"bounding_box_3d/LIDAR/{t}.json"},
        }
        keys = [f"lidar-{t}"]
        data.append({"key": keys[0], "id": {"name": "LIDAR", "timestamp": stamp}, "datum": {"point_cloud": cloud}})
        for camera, rotation in (("CAMERA_02", LEFT), ("CAMERA_01", FORWARD)):
            file = f"rgb/{camera}/{t}.png"
            pixels = np.full((40, 80, 3), shade + t, np.uint8)
            pixels[:, 40:, 0] = 200
            Image.fromarray(pixels).save(_made(folder / file))
            image = {"filename": file, "pose": pose(x, y, z + 1, rotation), "annotations": {}}
            keys.append(f"{camera}-{t}")
            data.append({"key": keys[-1], "id": {"name": camera, "timestamp": stamp}, "datum": {"image": image}})
        samples.append({"calibration_key": "rig", "datum_keys": keys, "id": {"timestamp": stamp}})
    write_json(folder / "scene_0a.json", {"data": data, "samples": samples, "ontologies": {"1": "classes"}})
    write_json(folder / "ontology/classes.json", {"items": [{"id": 0, "name": "Person"}, {"id": 2, "name": "Car"}]})
    pinhole = {"fx": 40.0, "fy": 40.0, "cx": 39.5, "cy": 19.5, "skew": 0.0}
    calibration = {
        "names": ["LIDAR", "CAMERA_01", "CAMERA_02"],
        "intrinsics": [dict.fromkeys(pinhole, 0.0), pinhole, pinhole],
        "extrinsics": [pose(0, 0, 2), pose(0, 0, 1, FORWARD), pose(0, 0, 1, LEFT)],
    }
    write_json(folder / "calibration/rig.json", calibration)


def _returns() -> Any:
    """Three points in the LiDAR's frame, half a pixel off the cameras' axes: two ahead, in one pixel, one left."""
    return np.array([[10.0, -0.25, -1.25, 0.5], [15.0, -0.375, -1.375, 0.5], [0.2, 8.0, -1.2, 0.5]])


def _car(track: int, x: float) -> dict[str, Any]:
    box = {"length": 4.5, "width": 1.9, "height": 1.6, "pose": pose(x, 3.0, -1.2)}
    return {"class_id": 2, "instance_id": track, "box": box}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
