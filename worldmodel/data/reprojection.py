"""Oracle reprojection: context colours moved to a target view by the true depth.

What perfect geometry gives without learning: a mark for reconstruction models to aim at. Every target pixel is lifted
by its own depth (sky: a direction), projected into all context images and kept where the context depth agrees (z-test);
what several images saw is averaged, near viewpoints first. Moving objects are not followed: they fail the z-test or
stay as ghosts.
"""

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.schema import Clip
from worldmodel.errors import DataError
from worldmodel.geometry.poses import Float, invert_pose, pixel_directions, project_points, transform_points

Rgb = NDArray[np.float32]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]
View = tuple[int, int]

DEPTH_TOLERANCE = 0.03
DEPTH_TOLERANCE_M = 0.15
NEARNESS_M = 1.0
SKY_M = 1e5


def reproject_context(clip: Clip, target_frame: int, camera: int, context_frames: tuple[int, ...]) -> tuple[Rgb, Mask]:
    """Renders one target image from context images.

    Args:
        clip: with calibration, poses and dense depth (and a sky mask, if the sky is to be moved too).
        target_frame, camera: the image to render.
        context_frames: frames whose images, of all cameras, give the colours.

    Returns:
        rgb [H, W, 3] in [0, 1], 0 where nothing was seen; valid [H, W], whether any context image saw the pixel.

    Raises:
        DataError: the clip has no poses or no dense depth.
    """
    reason = why_no_reprojection(clip)
    if reason is not None or clip.world_from_camera is None:
        expected = "calibration, poses and dense depth"
        raise DataError(f"clip {clip.clip_id} cannot be reprojected", expected=expected, got=reason or "")
    points, sky = target_points(clip, target_frame, camera)
    here = clip.world_from_camera[target_frame, camera, :3, 3]
    total, weight = np.zeros((len(points), 3)), np.zeros(len(points))
    for frame in context_frames:
        for view in range(len(clip.cameras)):
            colours, seen = _look_up(clip, frame, view, points, sky)
            moved = float(np.linalg.norm(clip.world_from_camera[frame, view, :3, 3] - here))
            share = np.where(seen, (moved + NEARNESS_M) ** -4.0, 0.0)
            total += share[:, None] * colours
            weight += share
    valid = weight > 0
    rgb = np.where(valid[:, None], total / np.maximum(weight, 1e-12)[:, None], 0.0)
    shape = clip.rgb.shape[2:4]
    return rgb.reshape(*shape, 3).astype(np.float32), valid.reshape(shape)


def why_no_reprojection(clip: Clip) -> str | None:
    """What a clip lacks to be reprojected, or None."""
    if not clip.has["poses"]:
        return "no camera poses"
    if clip.depth is None:
        return "no true depth"
    return None if clip.depth_kind == "dense" else f"true depth is {clip.depth_kind}, not dense"


def target_points(clip: Clip, frame: int, camera: int) -> tuple[Float, Mask]:
    """World points [H*W, 3] of the target's pixels (those without depth: far away), and which have none."""
    assert clip.depth is not None and clip.Ks is not None and clip.world_from_camera is not None
    depth = clip.depth[frame, camera].astype(np.float64)
    sky = depth <= 0
    directions = pixel_directions(clip.Ks[camera], *depth.shape)
    points = directions * np.where(sky, SKY_M, depth)[..., None]
    return transform_points(clip.world_from_camera[frame, camera], points.reshape(-1, 3)), sky.ravel()


def _look_up(clip: Clip, frame: int, camera: int, points: Float, sky: Mask) -> tuple[Float, Mask]:
    """Bilinear colours [P, 3] at the points' projections, from those of the four pixels that pass the z-test."""
    corners, shares = corners_at(clip, (frame, camera), points, sky)
    pixels = clip.rgb[frame, camera].reshape(-1, 3)
    total, weight = np.zeros((len(points), 3)), np.zeros(len(points))
    for corner, share in zip(corners, shares, strict=True):
        total += share[:, None] * pixels[corner]
        weight += share
    return total / (255.0 * np.maximum(weight, 1e-9)[:, None]), weight > 0.25


def corners_at(clip: Clip, view: View, points: Float, sky: Mask) -> tuple[Index, Float]:
    """The four pixels around each point's projection, and their bilinear shares: 0 for one that shows another surface.

    Args:
        view: that is looked into.
        points: [P, 3] in the world; `sky` [P] says which of them are directions.

    Returns:
        flat pixel indices [4, P] and shares [4, P]; the shares of a point that all four show sum to 1.
    """
    assert clip.depth is not None and clip.Ks is not None and clip.world_from_camera is not None
    pixels, z = project_points(clip.Ks[view[1]], transform_points(invert_pose(clip.world_from_camera[view]), points))
    depth = clip.depth[view]
    void = clip.sky[view] if clip.sky is not None else np.zeros(depth.shape, bool)
    height, width = depth.shape
    inside = (z > 0.1) & (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    corner = np.floor(np.where(inside[:, None], pixels, 0.0) - 0.5)
    fraction = np.where(inside[:, None], pixels, 0.0) - 0.5 - corner
    corners, shares = [], []
    for right in (0, 1):
        for down in (0, 1):
            column = np.clip(corner[:, 0] + right, 0, width - 1).astype(np.intp)
            row = np.clip(corner[:, 1] + down, 0, height - 1).astype(np.intp)
            share = np.abs(1 - right - fraction[:, 0]) * np.abs(1 - down - fraction[:, 1])
            there = depth[row, column]
            agrees = (there > 0) & (np.abs(there - z) < DEPTH_TOLERANCE * z + DEPTH_TOLERANCE_M)
            corners.append(row * width + column)
            shares.append(np.where(inside & np.where(sky, void[row, column], agrees), share, 0.0))
    return np.stack(corners), np.stack(shares)
