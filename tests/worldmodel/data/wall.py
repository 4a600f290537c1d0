"""A clip whose geometry is known by hand: a painted wall, 10 m ahead of cameras that stand or move along it."""

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.schema import Clip

H, W, FAR_M, FOCAL_PX = 12, 20, 10.0, 30.0
PIXELS_PER_M = FOCAL_PX / FAR_M


def wall_clip(steps_m: float = 0.0, frames: int = 3, apart_m: float = 1.0) -> Clip:
    """Two cameras `apart_m` apart that move `steps_m` a frame to the right; both times 3 whole pixels a metre."""
    poses = np.broadcast_to(np.eye(4), (frames, 2, 4, 4)).copy()
    poses[:, :, 0, 3] = steps_m * np.arange(frames)[:, None] + apart_m * np.arange(2)
    columns = np.rint(PIXELS_PER_M * poses[..., 0, 3]).astype(int)
    rgb = np.stack([[_wall(int(start)) for start in row] for row in columns])
    return Clip(
        clip_id="wall",
        log_id="wall",
        source="toy",
        licence="CC0-1.0",
        cameras=("left", "right"),
        rate_hz=10.0,
        times_s=np.arange(frames) / 10,
        rgb=rgb,
        Ks=np.broadcast_to(np.array([[FOCAL_PX, 0, W / 2], [0, FOCAL_PX, H / 2], [0, 0, 1.0]]), (2, 3, 3)).copy(),
        world_from_camera=poses,
        depth=np.full(rgb.shape[:-1], FAR_M, np.float32),
        depth_kind="dense",
        dynamic=np.zeros(rgb.shape[:-1], bool),
    )


def _wall(first_column: int) -> NDArray[np.uint8]:
    """What is painted from this column on, [H, W, 3]."""
    paint = np.random.default_rng(3).integers(40, 200, (H, 100, 3), dtype=np.uint8)
    return paint[:, first_column : first_column + W]
