"""Differentiable Gaussian rasterizer in plain PyTorch, for machines without CUDA.

Same semantics as `gsplat.rasterization` in classic mode (Kerbl et al. 2023): alpha clamped to 0.999, contributions
below 1/255 skipped, a pixel stopped before its transmittance reaches 1e-4, Gaussians sorted by camera depth.
Deterministic; float32 or float64. Left out: packed outputs, antialiased mode, backgrounds (composite with `1 - alpha`).
"""

import torch
from torch import Tensor

from worldmodel.geometry.cameras import Cameras
from worldmodel.splat.composite import composite, exponents
from worldmodel.splat.gaussians import Gaussians, Rendering
from worldmodel.splat.projection import project_gaussians
from worldmodel.splat.tiles import CHUNK, TILE, Tiling, bin_into_tiles


def rasterize_reference(gaussians: Gaussians, cameras: Cameras, near: float, far: float) -> Rendering:
    """See `worldmodel.splat.rasterize`."""
    projected = project_gaussians(gaussians, cameras, near, far)
    tiling = bin_into_tiles(projected, cameras.height, cameras.width)
    order = tiling.order
    index = order % len(gaussians)
    depths = projected.depths.flatten()[order, None]
    features = torch.cat([gaussians.colors[index], depths], -1)
    shape = torch.cat(
        [
            projected.means2d.flatten(0, 1)[order],
            projected.conics.flatten(0, 1)[order],
            gaussians.opacities[index, None].log(),
        ],
        -1,
    )
    coefficients, row_features = _rows(shape, features, tiling)
    image, remaining = composite(coefficients, row_features, tiling)
    image, alpha = _untile(image, tiling, cameras), 1 - _untile(remaining[..., None], tiling, cameras)[..., 0]
    return Rendering(image[..., :-1], image[..., -1] / alpha.clamp(min=1e-10), alpha)


def _rows(shape: Tensor, features: Tensor, tiling: Tiling) -> tuple[Tensor, Tensor]:
    """Per-row exponent coefficients and features; padding rows are fully transparent."""
    nothing = shape.new_tensor([[0.0, 0.0, 0.0, 0.0, 0.0, -100.0]])
    shape = torch.cat([shape, nothing])[tiling.rows].reshape(-1, CHUNK, 6)
    width = features.shape[1]
    features = torch.cat([features, features.new_zeros(1, width)])[tiling.rows].reshape(-1, CHUNK, width)
    offsets = shape[..., :2] - tiling.centres()[:, None]
    return exponents(offsets, shape[..., 2:5], shape[..., 5]), features


def _untile(tiles: Tensor, tiling: Tiling, cameras: Cameras) -> Tensor:
    """[tiles, P, D] to [C, H, W, D]."""
    count, rows, columns = tiling.grid
    image = tiles.reshape(count, rows, columns, TILE, TILE, -1).permute(0, 1, 3, 2, 4, 5)
    return image.reshape(count, rows * TILE, columns * TILE, -1)[:, : cameras.height, : cameras.width]
