"""EWA projection of 3D Gaussians to image-plane Gaussians, as gsplat 1.5 does it (classic mode).

Zwicker et al., "EWA splatting"; constants from gsplat's `fully_fused_projection`. One GEMM rotates all Gaussians into
all cameras. Left out: antialiased opacity compensation, orthographic and fisheye cameras, spherical harmonics.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.geometry.cameras import Cameras
from worldmodel.splat.gaussians import Gaussians

EPS2D = 0.3  # px^2 added to both image-plane variances
FOV_MARGIN = 0.15  # of the image size: how far outside the image the Jacobian's viewing direction may lie
ALPHA_MIN = 1.0 / 255.0


class Projected(NamedTuple):
    """means2d [C, N, 2] px, conics [C, N, 3] (inverse covariance xx, xy, yy), depths [C, N] m, visible [C, N] bool,
    extents [C, N, 2] px (half the box that holds every pixel with alpha >= 1/255)."""

    means2d: Tensor
    conics: Tensor
    depths: Tensor
    visible: Tensor
    extents: Tensor


def rotation_matrices(quats: Tensor) -> Tensor:
    """[..., 4] wxyz of any length to [..., 3, 3]."""
    w, x, y, z = F.normalize(quats, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, -1).reshape(*quats.shape[:-1], 3, 3)


def project_gaussians(gaussians: Gaussians, cameras: Cameras, near: float, far: float) -> Projected:
    """Differentiable in everything but `visible` and `extents`."""
    viewmats, count = cameras.viewmats, len(cameras.Ks)
    rotation, translation = viewmats[:, :3, :3], viewmats[:, :3, 3]
    x, y, z = (gaussians.means @ rotation.transpose(1, 2) + translation[:, None]).unbind(-1)
    in_range = (z >= near) & (z <= far)
    z = torch.where(in_range, z, 1.0)
    fx, fy, cx, cy = (cameras.Ks[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))

    axes = rotation_matrices(gaussians.quats) * gaussians.scales[:, None, :]
    rotated = (rotation.reshape(3 * count, 3) @ axes.transpose(0, 1).reshape(3, -1)).reshape(count, 3, -1, 3)
    slope_x = _clamp_to_view(x / z, fx, cx, cameras.width)
    slope_y = _clamp_to_view(y / z, fy, cy, cameras.height)
    u = (fx / z)[..., None] * (rotated[:, 0] - slope_x[..., None] * rotated[:, 2])
    v = (fy / z)[..., None] * (rotated[:, 1] - slope_y[..., None] * rotated[:, 2])
    xx, xy, yy = (u * u).sum(-1) + EPS2D, (u * v).sum(-1), (v * v).sum(-1) + EPS2D
    determinant = xx * yy - xy * xy
    conics = torch.stack([yy / determinant, -xy / determinant, xx / determinant], -1)
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    with torch.no_grad():
        extents = _extents(gaussians.opacities, torch.stack([xx, yy], -1))
        size = means2d.new_tensor([cameras.width, cameras.height])
        inside = ((means2d + extents > 0) & (means2d - extents < size)).all(-1)
        visible = in_range & (determinant > 0) & (gaussians.opacities >= ALPHA_MIN) & inside
    return Projected(means2d, conics, z, visible, extents)


def _clamp_to_view(slope: Tensor, focal: Tensor, centre: Tensor, size: int) -> Tensor:
    """Keeps a viewing direction within the image and its margin, which bounds the Jacobian of far-off splats."""
    margin = FOV_MARGIN * size / focal
    return torch.minimum(torch.maximum(slope, -centre / focal - margin), (size - centre) / focal + margin)


def _extents(opacities: Tensor, variances: Tensor) -> Tensor:
    """Half-widths in px of the ellipse alpha = 1/255, a little enlarged: rounding must not cut a pixel off."""
    sigmas = torch.sqrt(2 * torch.log((opacities / ALPHA_MIN).clamp(min=1.0)))
    return sigmas[:, None] * variances.sqrt() * 1.0001 + 1e-3
