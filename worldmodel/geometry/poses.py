"""Rigid poses and pinhole cameras in numpy: the only place where axes and pixels are converted.

Poses are `target_from_source` [..., 4, 4]; cameras look along +z with x right and y down; pixel centres are at +0.5.
Lens distortion and rolling shutter are left out.
"""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def invert_pose(pose: Float) -> Float:
    """`source_from_target` of a rigid `target_from_source` [..., 4, 4]."""
    inverse = np.zeros_like(pose)
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, pose[..., :3, 3])
    inverse[..., 3, 3] = 1.0
    return inverse


def transform_points(pose: Float, points: Float) -> Float:
    """Points [..., N, 3] moved by poses [..., 4, 4] (leading axes broadcast)."""
    return points @ np.swapaxes(pose[..., :3, :3], -1, -2) + pose[..., None, :3, 3]


def project_points(K: Float, points_camera: Float) -> tuple[Float, Float]:
    """Pixels [..., N, 2] and z-depth [..., N] in metres of camera-frame points; pixels are meaningless where z <= 0."""
    z = points_camera[..., 2]
    scaled = points_camera[..., :2] / np.where(np.abs(z) < 1e-9, 1e-9, z)[..., None]
    focal, centre = np.stack([K[..., 0, 0], K[..., 1, 1]], -1), K[..., :2, 2]
    return scaled * focal[..., None, :] + centre[..., None, :], z


def pixel_directions(K: Float, height: int, width: int) -> Float:
    """Camera-frame directions [..., H, W, 3] through pixel centres, scaled to z = 1; depth times them is the point."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = (columns - K[..., 0, 2, None, None]) / K[..., 0, 0, None, None]
    y = (rows - K[..., 1, 2, None, None]) / K[..., 1, 1, None, None]
    return np.stack([x, y, np.ones_like(x)], -1)


def crop_and_resize_intrinsics(K: Float, crop_xy: tuple[float, float], scale_xy: tuple[float, float]) -> Float:
    """Intrinsics after cutting `crop_xy` pixels off the left and top, then scaling both axes by `scale_xy`."""
    adjusted = K.copy()
    adjusted[..., 0, 2] -= crop_xy[0]
    adjusted[..., 1, 2] -= crop_xy[1]
    adjusted[..., 0, :] *= scale_xy[0]
    adjusted[..., 1, :] *= scale_xy[1]
    return adjusted
