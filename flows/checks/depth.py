"""Does depth agree with the poses, the cameras and the LiDAR points of its clip?

Depth of one view is back-projected, moved by the poses and projected into another view, where its z is compared with
the depth stored there. The error of a pair of views is the median of |z - depth| / depth over the compared pixels (a
median, because some surfaces are hidden in the other view); the error of a clip is that of its worst pair. Dense
depth is read between pixels by interpolating 1/depth, which is exact on planes; LiDAR depth at the nearest return
within a pixel. Moving objects are left out where the clip has a mask for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.schema import Clip
from worldmodel.geometry.poses import Float, invert_pose, pixel_directions, project_points, transform_points

MAX_POINTS = 2000  # of one view
MIN_COMPARED = 50  # fewer say nothing about a pair
ANCHORS = 5  # frames of a clip that are compared with others
MIN_DEPTH_M = 0.1

View = tuple[int, int]  # frame, camera


def depth_error_between_frames(clip: Clip) -> float | None:
    """Worst median relative error between a camera's frame and its next one; None without any.

    Frames farther apart are not compared: in a street, a parked car can hide most of what was seen a second ago.
    """
    return _worst(_compare(clip, source, target) for source, target in _frame_pairs(clip))


def depth_error_between_cameras(clip: Clip) -> float | None:
    """Worst median relative error between cameras that see the same surfaces at the same time; None without any."""
    n_cameras = len(clip.cameras)
    pairs = [(a, b) for a in range(n_cameras) for b in range(n_cameras) if a != b]
    return _worst(_compare(clip, (t, a), (t, b)) for t in anchor_frames(clip) for a, b in pairs)


def depth_error_to_points(clip: Clip) -> float | None:
    """Worst median relative error between a view's depth and the LiDAR points of its time; None without any."""
    views = ((t, v) for t in anchor_frames(clip) for v in range(len(clip.cameras)))
    return _worst(_compare_points(clip, view) for view in views)


def _worst(errors: Iterable[float | None]) -> float | None:
    return max((error for error in errors if error is not None), default=None)


def anchor_frames(clip: Clip) -> list[int]:
    """The frames of a clip that are compared: first, last and evenly between."""
    return sorted({int(t) for t in np.linspace(0, len(clip.times_s) - 1, ANCHORS).round()})


def _frame_pairs(clip: Clip) -> Iterator[tuple[View, View]]:
    last = len(clip.times_s) - 1
    for t in anchor_frames(clip) if last else ():
        for v in range(len(clip.cameras)):
            yield (t, v), (t + 1 if t < last else t - 1, v)


def _compare(clip: Clip, source: View, target: View) -> float | None:
    return _median_error(land(clip, target, lift(clip, source)[1]))


def _compare_points(clip: Clip, view: View) -> float | None:
    assert clip.points is not None and clip.world_from_ego is not None
    points = np.asarray(clip.points[view[0]], dtype=np.float64)
    return _median_error(land(clip, view, transform_points(clip.world_from_ego[view[0]], points)))


def _median_error(landed: "Landed") -> float | None:
    compared = landed.depth > 0
    if np.count_nonzero(compared) < MIN_COMPARED:
        return None
    return float(np.median(np.abs(landed.z - landed.depth)[compared] / landed.depth[compared]))


@dataclass(frozen=True)
class Landed:
    """World points seen by a view: which are inside [P], and of those pixels [Q, 2], z [Q] and stored `depth` [Q].

    `depth` is 0 where the view has none, or something moves.
    """

    inside: NDArray[np.bool_]
    pixels: Float
    z: Float
    depth: Float


def lift(clip: Clip, view: View) -> tuple[NDArray[np.intp], Float]:
    """Rows and columns [P, 2] of up to `MAX_POINTS` pixels with depth, evenly spread, and the world points [P, 3]."""
    assert clip.depth is not None and clip.Ks is not None and clip.world_from_camera is not None
    depth = clip.depth[view]
    pixels = np.argwhere((depth > 0) & _still(clip, view))
    pixels = pixels[:: max(1, -(-len(pixels) // MAX_POINTS))]
    rows, columns = pixels.T
    directions = pixel_directions(clip.Ks[view[1]], *depth.shape)[rows, columns]
    return pixels, transform_points(clip.world_from_camera[view], directions * depth[rows, columns, None])


def land(clip: Clip, view: View, world: Float) -> Landed:
    """Projects world points [P, 3] into a view and reads the depth stored there."""
    assert clip.depth is not None and clip.Ks is not None and clip.world_from_camera is not None
    in_camera = transform_points(invert_pose(clip.world_from_camera[view]), world)
    pixels, z = project_points(clip.Ks[view[1]], in_camera)
    height, width = clip.depth[view].shape
    inside = (z > MIN_DEPTH_M) & np.all((pixels >= 0) & (pixels < (width, height)), axis=-1)
    pixels, z = pixels[inside], z[inside]
    read = _read_dense if clip.depth_kind == "dense" else _read_sparse
    still = _still(clip, view)[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    return Landed(inside, pixels, z, np.where(still, read(clip.depth[view], pixels), 0.0))


def _still(clip: Clip, view: View) -> NDArray[np.bool_]:
    return ~clip.dynamic[view] if clip.dynamic is not None else np.ones(clip.rgb[view].shape[:2], bool)


def _read_dense(depth: NDArray[np.float32], pixels: Float) -> Float:
    """Depth [P] at pixels [P, 2], interpolated in 1/depth; 0 where one of the four pixels around has none."""
    height, width = depth.shape
    if min(height, width) < 2:
        return np.zeros(len(pixels))
    corner = np.clip(np.floor(pixels - 0.5).astype(int), 0, (width - 2, height - 2))
    across, down = np.clip(pixels - 0.5 - corner, 0, 1).T
    column, row = corner.T
    around = np.stack([depth[row + j, column + i].astype(np.float64) for j in (0, 1) for i in (0, 1)])
    weights = np.stack([(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across])
    known = np.all(around > 0, axis=0)
    inverse = np.sum(weights / np.where(around > 0, around, 1.0), axis=0)
    return np.where(known, 1.0 / inverse, 0.0)


def _read_sparse(depth: NDArray[np.float32], pixels: Float) -> Float:
    """Depth [P] of the nearest pixel that has one, no farther than one pixel; 0 where there is none."""
    height, width = depth.shape
    column, row = np.floor(pixels).astype(int).T
    found = np.zeros(len(pixels))
    offsets = sorted(
        ((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)), key=lambda offset: (abs(offset[0]) + abs(offset[1]), offset)
    )
    for i, j in offsets:
        x, y = column + i, row + j
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        value = np.where(inside, depth[y.clip(0, height - 1), x.clip(0, width - 1)], 0.0)
        found = np.where(found > 0, found, value)
    return found
