"""The one clip schema: what every adapter produces and every stage consumes.

A clip is a contiguous window of one log, seen by several cameras. Axes and units (nothing else gets past an adapter):
world and ego are right-handed, in metres, z up, ego x forward and y left; a camera looks along +z, x right, y down
(OpenCV). Poses are `target_from_source` 4x4 matrices. `Ks` are in pixels of the stored images, with the pixel centre at
+0.5. Depth is z-depth in metres, 0 where there is none.

A clip says what it has: an optional field that is None is absent, and `Clip.has` says so in one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 2

Float = NDArray[np.float64]
DepthKind = Literal["dense", "lidar"]


@dataclass(frozen=True)
class Box:
    """An annotated object in one frame.

    Attributes:
        track_id: the same object in every frame of the log.
        category: the source's class, lower case (`car`, `truck`, `pedestrian`, ...).
        world_from_box: [4, 4]; box x along its length (forward), y along its width, z up, origin at its centre.
        size_m: length, width, height.
        moving: whether it moves in this clip; None where the source does not say.
    """

    track_id: str
    category: str
    world_from_box: Float
    size_m: tuple[float, float, float]
    moving: bool | None = None


@dataclass(frozen=True)
class Clip:
    """A multi-camera window of one log. T frames, V cameras, H x W pixels.

    Attributes:
        clip_id: unique over all sources, `[A-Za-z0-9_-]+` (it names tar members, so no dots or slashes).
        log_id: the drive this clip was cut from, unique over all sources; splits are made by it.
        source: name of the data source (`synthetic`, `dgp_street`, ...).
        licence: SPDX identifier, or the licence's name.
        cameras: V names.
        rate_hz: nominal frame rate.
        times_s: [T], seconds from the clip's first frame, strictly increasing.
        rgb: [T, V, H, W, 3] uint8.
        Ks: [V, 3, 3], or None without calibration.
        world_from_camera: [T, V, 4, 4], each image at its own time, or None without poses.
        world_from_ego: [T, 4, 4] at `times_s`, or None without poses.
        depth: [T, V, H, W] float32 metres, 0 = none; `depth_kind` says whether dense or LiDAR-sparse.
        sky, dynamic: [T, V, H, W] bool masks.
        points: T arrays [P, 3] float32, LiDAR-like returns in the ego frame of that time.
        boxes: T tuples of boxes in the world frame.
        lanes: polylines [P, 3] in the world frame, valid for the whole clip.
        layout_rgb: [T, V, H, W, 3] uint8, a recorded layout video (map and boxes drawn on black) of the same frames.
        tags: for instance `weather` and `time_of_day`.
        text: a caption.
    """

    clip_id: str
    log_id: str
    source: str
    licence: str
    cameras: tuple[str, ...]
    rate_hz: float
    times_s: Float
    rgb: NDArray[np.uint8]
    Ks: Float | None = None
    world_from_camera: Float | None = None
    world_from_ego: Float | None = None
    depth: NDArray[np.float32] | None = None
    depth_kind: DepthKind | None = None
    sky: NDArray[np.bool_] | None = None
    dynamic: NDArray[np.bool_] | None = None
    points: tuple[NDArray[np.float32], ...] | None = None
    boxes: tuple[tuple[Box, ...], ...] | None = None
    lanes: tuple[Float, ...] | None = None
    layout_rgb: NDArray[np.uint8] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    @property
    def has(self) -> dict[str, bool]:
        """What this clip carries beside pixels: the `has_*` columns of the clip manifest."""
        return {
            "poses": self.Ks is not None and self.world_from_camera is not None,
            "depth": self.depth is not None,
            "sky": self.sky is not None,
            "dynamic": self.dynamic is not None,
            "points": self.points is not None,
            "boxes": self.boxes is not None,
            "layout": self.lanes is not None,
            "layout_video": self.layout_rgb is not None,
            "text": self.text is not None,
        }
