"""Recorded driving in TRI-ML's Dataset Governance Policy format (github.com/TRI-ML/dgp), read without its package.

A scene folder holds scene_*.json: samples of datums (one image a camera, one LiDAR sweep), each with its own pose and
time stamp; calibration/ has intrinsics and ego_from_sensor extrinsics; 3D boxes lie in the frame of the sweep they are
annotated in. One scene is one log. A frame's time and ego pose are those of its sweep; each image keeps its own pose.

Conversions: ego (x forward, y left, z up) and camera axes (OpenCV) already are the house's. The world keeps its axes
(z up) and gets its origin at the first ego position, because map coordinates lose centimetres in float32. Intrinsics
count pixel centres at whole numbers and are moved by half a pixel. Depth is the z-depth of the frame's sweep at each
image's own pose. Time stamps that lie centuries ahead are ten times too large.

Left out: lens distortion (images are rectified), scenes without LiDAR or with several calibrations, 2D boxes, LiDAR
intensity, sky, lanes, a mask of moving pixels (boxes say what moves) and one of the ego's own body, which shows in most
cameras and through which the LiDAR on the roof "sees" the road.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.adapters.dgp_scene import SceneFrames, read_scene
from worldmodel.data.adapters.recorded import RecordedFolder
from worldmodel.data.schema import Box, Clip, Float
from worldmodel.errors import DataError

# a box counts as moving above this speed: parked ones are annotated without any motion, slow traffic is faster
MOVING_M_PER_S = 1.0


@dataclass(frozen=True)
class DgpSource(RecordedFolder):
    """The scenes below a folder."""

    def log_ids(self) -> list[str]:
        """One id for each folder with a scene_*.json. Raises DataError if there is none."""
        return list(self._scenes())

    def read_log(self, log_id: str) -> list[Clip]:
        """The clips of one scene. Raises DataError naming file and field."""
        folder = self._scenes()[log_id]
        label = (Path(self.name) / folder.relative_to(self.root)).as_posix()
        frames = read_scene(folder, label, self.size)
        rate_hz = round(float(1 / np.median(np.diff(frames.times_s))), 1)
        thin = self.thinning(rate_hz)
        windows = [window * thin for window in self.windows(-(-len(frames.times_s) // thin))]
        return [self._clip(log_id, k, frames, window, rate_hz / thin) for k, window in enumerate(windows)]

    def _scenes(self) -> dict[str, Path]:
        folders = sorted({path.parent for path in self.root.rglob("scene_*.json")})
        if not folders:
            raise DataError(f"{self.name}: no scene in this folder", expected="a folder with a scene_*.json below it")
        return {"-".join((self.name, *folder.relative_to(self.root).parts)): folder for folder in folders}

    def _clip(self, log_id: str, index: int, frames: SceneFrames, window: NDArray[np.int64], rate_hz: float) -> Clip:
        times_s = frames.times_s[window]
        boxes = None if frames.boxes is None else mark_moving([frames.boxes[t] for t in window], times_s)
        return Clip(
            clip_id=f"{log_id}-{index:03d}",
            log_id=log_id,
            source=self.name,
            licence=self.licence,
            cameras=frames.cameras,
            rate_hz=rate_hz,
            times_s=times_s - times_s[0],
            rgb=frames.rgb[window],
            Ks=frames.Ks,
            world_from_camera=frames.world_from_camera[window],
            world_from_ego=frames.world_from_ego[window],
            depth=frames.depth[window],
            depth_kind="lidar",
            points=tuple(frames.points[t] for t in window),
            boxes=boxes,
        )


def mark_moving(boxes: Sequence[Sequence[Box]], times_s: Float) -> tuple[tuple[Box, ...], ...]:
    """Boxes that say whether they move: by the mean velocity from first to last sight; seen once, nobody knows.

    Args:
        boxes: the world-frame boxes of each of T times.
        times_s: [T].
    """
    sights: dict[str, list[tuple[float, Float]]] = defaultdict(list)
    for time_s, frame in zip(times_s, boxes, strict=True):
        for box in frame:
            sights[box.track_id].append((float(time_s), box.world_from_box[:3, 3]))
    moving = {track_id: _moves(seen) for track_id, seen in sights.items()}
    return tuple(tuple(replace(box, moving=moving[box.track_id]) for box in frame) for frame in boxes)


def _moves(seen: list[tuple[float, Float]]) -> bool | None:
    (first_s, start), (last_s, end) = seen[0], seen[-1]
    return bool(np.linalg.norm(end - start) > MOVING_M_PER_S * (last_s - first_s)) if last_s > first_s else None
