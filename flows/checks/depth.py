"""Does depth agree with the poses, the cameras and the LiDAR points of its clip?

Depth of one view is back-projected, moved by the poses and projected into another view, where its z is compared with
the depth stored there. The error of a pair of views is the median of |z - depth| / depth over the compared pixels (a
median, because some surfaces are hidden in the other view); the error of a clip is that of its worst pair. Dense
depth is read between pixels by interpolating 1/depth, which is exact on planes; LiDAR depth at the nearest return
within a pixel. Moving objects are left out where the clip has a mask for them. Colour is not compared.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.schema import Clip
from worldmodel.geometry.poses import Float, invert_pose, pixel_directions, project_points, transform_points

MAX_POINTS = 2000  # of one view
MIN_COMPARED = 50  # fewer say nothing about a pair
ANCHORS = 3  # frames of a clip that are compared with others
MAX_BASELINE = 0.4  # of the median depth: far enough to feel a wrong scale, near enough to see the same surfaces
MIN_DEPTH_M = 0.1

View = tuple[int, int]  # frame, camera


def depth_error_between_frames(clip: Clip) -> float | None:
    """Worst median relative error between one camera's frames: the next one, and the farthest useful one."""
    return _worst(_compare(clip, source, target) for source, target in _frame_pairs(clip))


def depth_error_between_cameras(clip: Clip) -> float | None:
    """Worst median relative error between cameras that see the same surfaces at the same time; None without any."""
    n_cameras = len(clip.cameras)
    pairs = [(a, b) for a in range(n_cameras) for b in range(n_cameras) if a != b]
    return _worst(_compare(clip, (t, a), (t, b)) for t in _anchors(clip) for a, b in pairs)


def depth_error_to_points(clip: Clip) -> float | None:
    """Worst median relative error between a view's depth and the LiDAR points of its time; None without any."""
    views = ((t, v) for t in _anchors(clip) for v in range(len(clip.cameras)))
    return _worst(_compare_points(clip, view) for view in views)


def _worst(errors: Iterable[float | None]) -> float | None:
    return max((error for error in errors if error is not None), default=None)


def _anchors(clip: Clip) -> list[int]:
    return sorted({int(t) for t in np.linspace(0, len(clip.times_s) - 1, ANCHORS).round()})


def _frame_pairs(clip: Clip) -> Iterator[tuple[View, View]]:
    assert clip.depth is not None and clip.world_from_camera is not None
    positions = clip.world_from_camera[..., :3, 3]
    frames = np.arange(len(clip.times_s))
    for t in _anchors(clip):
        for v in range(len(clip.cameras)):
            seen = clip.depth[t, v][clip.depth[t, v] > 0]
            if not seen.size:
                continue
            moved = np.linalg.norm(positions[:, v] - positions[t, v], axis=-1)
            useful = frames[(moved <= MAX_BASELINE * np.median(seen)) & (frames != t)]
            near = t + 1 if t + 1 < len(frames) else t - 1
            far = int(useful[np.argmax(moved[useful])]) if useful.size else near
            for other in sorted({near, far} - {t, -1}):
                yield (t, v), (other, v)


def _compare(clip: Clip, source: View, target: View) -> float | None:
    assert clip.depth is not None and clip.Ks is not None and clip.world_from_camera is not None
    depth = clip.depth[source]
    rows, columns = np.nonzero((depth > 0) & _still(clip, source))
    step = max(1, -(-len(rows) // MAX_POINTS))
    rows, columns = rows[::step], columns[::step]
    directions = pixel_directions(clip.Ks[source[1]], *depth.shape)[rows, columns]
    world = transform_points(clip.world_from_camera[source], directions * depth[rows, columns, None])
    return _disagreement(clip, target, world)


def _compare_points(clip: Clip, view: View) -> float | None:
    assert clip.points is not None and clip.world_from_ego is not None
    points = np.asarray(clip.points[view[0]], dtype=np.float64)
    return _disagreement(clip, view, transform_points(clip.world_from_ego[view[0]], points))


def _disagreement(clip: Clip, view: View, world: Float) -> float | None:
    """Median relative difference of the z of `world` [P, 3] and the view's depth where both are; None if too few."""
    assert clip.depth is not None and clip.Ks is not None and clip.world_from_camera is not None
    pixels, z = project_points(clip.Ks[view[1]], transform_points(invert_pose(clip.world_from_camera[view]), world))
    height, width = clip.depth[view].shape
    inside = (z > MIN_DEPTH_M) & np.all((pixels >= 0) & (pixels < (width, height)), axis=-1)
    pixels, z = pixels[inside], z[inside]
    still = _still(clip, view)[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    read = _read_dense if clip.depth_kind == "dense" else _read_sparse
    stored = read(clip.depth[view], pixels)
    compared = still & (stored > 0)
    if np.count_nonzero(compared) < MIN_COMPARED:
        return None
    return float(np.median(np.abs(z - stored)[compared] / stored[compared]))


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
