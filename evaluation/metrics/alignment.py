"""The path of a camera, read from its video alone: direct alignment to the first frame on that frame's depth.

Every still pixel of frame 0 is a point in space. A later frame's pose is the one at which it shows these points in the
brightness that frame 0 has, found by inverse compositional Gauss-Newton (Baker and Matthews 2004, section 3.2) over
six degrees of freedom with Huber weights; a gain and an offset of brightness are solved for in each step, so a video
that fades is not taken for one that moves. Images are blurred, first much, then less. A frame starts from the pose
before it, and from that pose moved on as before, whichever ends better. It never sees the path that was asked for.
Points hidden later are not found out: the weights must bear them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.poses import (
    Float,
    crop_and_resize_intrinsics,
    invert_pose,
    pixel_directions,
    project_points,
    transform_points,
)

_SHORT_SIDE_PX = 96
_BLURS_PX = (4.0, 2.0, 1.0)
_STEPS = 10
_FEWEST_POINTS = 50
_NEAREST_M = 0.3
_FLAT_DEPTH = 1.05
_HUBER = 1.345
_LARGEST = 0.1
_SETTLED = 1e-3
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class GivenView:
    """What is known of frame 0: intrinsics [3, 3], z-depth [H, W] in metres (0: none), and what stands still [H, W]."""

    K: Float
    depth: NDArray[np.float32]
    still: Mask


class _Level(NamedTuple):
    """One blur: frames [T, H, W], points [P, 3] in camera 0, their brightness [P] and its derivatives [P, 8]."""

    frames: Float
    points: Float
    brightness: Float
    derivatives: Float


class _Fit(NamedTuple):
    """`pose` (camera_t from camera_0), and the mean difference of brightness that it leaves."""

    pose: Float
    left: float


def camera_path(video: NDArray[np.uint8], view: GivenView) -> Float:
    """Poses [T, 4, 4], `camera_0 from camera_t` in metres, of a video [T, H, W, 3]; the first is the identity.

    A video whose frames are all the first one has the identity at every time, but for rounding. A frame that shows too
    few of the points keeps a pose that it started from; all values are finite.
    """
    K, frames, depth = _work_size(video, view)
    levels = [_level(frames, K, depth, blur) for blur in _BLURS_PX]
    poses = [np.eye(4)]
    for t in range(1, len(video)):
        starts = [poses[-1]]
        if t > 1:
            starts.append(poses[-1] @ invert_pose(poses[-2]) @ poses[-1])
        poses.append(min((_aligned(levels, K, t, start) for start in starts), key=lambda fit: fit.left).pose)
    return invert_pose(np.stack(poses))


def _work_size(video: NDArray[np.uint8], view: GivenView) -> tuple[Float, Float, Float]:
    """Intrinsics, brightness [T, h, w] on [0, 1] and depth [h, w] (0: not to be used), made smaller by a whole factor.

    A large pixel has a depth where all its small ones stand still at about the same.
    """
    by = -(-min(video.shape[1:3]) // _SHORT_SIDE_PX)
    height, width = (side // by for side in video.shape[1:3])
    grey = video[:, : height * by, : width * by].mean(-1) / 255.0
    small = grey.reshape(len(video), height, by, width, by).mean((2, 4))
    depth = np.where(view.still, view.depth, 0.0)[: height * by, : width * by].astype(np.float64)
    blocks = depth.reshape(height, by, width, by)
    flat = blocks.max((1, 3)) <= _FLAT_DEPTH * blocks.min((1, 3))
    K = crop_and_resize_intrinsics(view.K, (0.0, 0.0), (1 / by, 1 / by))
    return K, small, np.where(flat, blocks.mean((1, 3)), 0.0)


def _level(frames: Float, K: Float, depth: Float, blur: float) -> _Level:
    from skimage.filters import gaussian

    blurring: Callable[..., Float] = gaussian
    blurred = blurring(frames, sigma=(0, blur, blur), mode="nearest", preserve_range=True)
    down, right = np.gradient(blurred[0])
    known = np.flatnonzero(depth)[:: int(blur)]
    points = (pixel_directions(K, *depth.shape) * depth[..., None]).reshape(-1, 3)[known]
    x, y, z = points.T
    du, dv = right.ravel()[known] * K[0, 0] / z, down.ravel()[known] * K[1, 1] / z
    dz = -(du * x + dv * y) / z
    brightness = blurred[0].ravel()[known]
    turns = (y * dz - z * dv, z * du - x * dz, x * dv - y * du)
    derivatives = np.stack([du, dv, dz, *turns, brightness, np.ones_like(z)], -1)
    return _Level(blurred, points, brightness, derivatives)


def _aligned(levels: Iterable[_Level], K: Float, t: int, start: Float) -> _Fit:
    fit = _Fit(start, np.inf)
    for level in levels:
        fit = _descend(level, K, t, fit.pose)
    return fit


def _descend(level: _Level, K: Float, t: int, start: Float) -> _Fit:
    """Gauss-Newton steps on one level until they are small; the start where they lose the points."""
    pose, left = start, np.inf
    for _ in range(_STEPS):
        pixels, z = project_points(K, transform_points(pose, level.points))
        height, width = level.frames.shape[1:]
        seen = (z > _NEAREST_M) & (pixels >= 0.5).all(1) & (pixels <= (width - 0.5, height - 0.5)).all(1)
        if seen.sum() < _FEWEST_POINTS:
            return _Fit(start, np.inf)
        residual = _bilinear(level.frames[t], pixels[seen]) - level.brightness[seen]
        slopes = level.derivatives[seen]
        step = _weighted_solution(slopes, residual)
        left = float(np.minimum(np.abs(residual - slopes[:, 6:] @ step[6:]), _LARGEST).mean())
        pose = pose @ _rigid(-step[:6])
        if np.abs(step[:6]).max() < _SETTLED:
            break
    return _Fit(pose, left)


def _weighted_solution(slopes: Float, residual: Float) -> Float:
    """What of eight parameters explains the residual, far ones counting less (Huber); none where it is flat."""
    middle = np.abs(residual - np.median(residual))
    scale = 1.4826 * np.median(middle) + 1e-3
    weighted = slopes / np.maximum(1.0, middle / (_HUBER * scale))[:, None]
    square = weighted.T @ slopes
    square[np.diag_indices(8)] += 1e-6 * np.diag(square) + 1e-9
    solution: Float = np.linalg.solve(square, weighted.T @ residual)
    return solution


def _bilinear(image: Float, pixels: Float) -> Float:
    """Brightness [P] of an image [H, W] at pixel positions [P, 2] that are at least half a pixel inside."""
    height, width = image.shape
    column = np.clip((pixels[:, 0] - 0.5).astype(np.intp), 0, width - 2)
    row = np.clip((pixels[:, 1] - 0.5).astype(np.intp), 0, height - 2)
    right, down = pixels[:, 0] - 0.5 - column, pixels[:, 1] - 0.5 - row
    flat, corner = image.ravel(), row * width + column
    upper = flat[corner] * (1 - right) + flat[corner + 1] * right
    lower = flat[corner + width] * (1 - right) + flat[corner + width + 1] * right
    values: Float = upper * (1 - down) + lower * down
    return values


def _rigid(step: Float) -> Float:
    """The pose [4, 4] of a small translation (first three) and rotation vector (last three), the exponential map."""
    shift, turn = step[:3], step[3:]
    angle = float(np.linalg.norm(turn))
    cross = np.array([[0, -turn[2], turn[1]], [turn[2], 0, -turn[0]], [-turn[1], turn[0], 0]])
    near = angle < 1e-6
    first = 1.0 if near else np.sin(angle) / angle
    second = 0.5 if near else (1 - np.cos(angle)) / angle**2
    third = 1 / 6 if near else (angle - np.sin(angle)) / angle**3
    pose = np.eye(4)
    pose[:3, :3] += first * cross + second * cross @ cross
    pose[:3, 3] = shift + second * np.cross(turn, shift) + third * cross @ cross @ shift
    return pose
