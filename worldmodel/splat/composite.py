"""Front-to-back alpha compositing of all tiles at once, with an analytic backward pass.

Inside a tile the exponent of every Gaussian is a quadratic polynomial of the pixel offset, so one matrix product with
the six monomials evaluates it at all pixels, and its gradient is one product with the transpose. Tensors of a level are
[tiles, pixels, chunk] with the depth order along the last axis, which makes the transmittance a contiguous scan.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from worldmodel.splat.projection import ALPHA_MIN
from worldmodel.splat.tiles import CHUNK, TILE, Tiling

ALPHA_MAX = 0.999
STOP = 1e-4  # a pixel ends before the Gaussian that would take its transmittance to this or below


class _Level(NamedTuple):
    """What the backward pass needs of one level; all [n, P, CHUNK] but the indices."""

    tiles: Tensor
    chunks: Tensor
    alpha: Tensor
    transmittance: Tensor
    unclamped: Tensor


def monomials(dtype: torch.dtype) -> Tensor:
    """[P, 6]: 1, x, y, x^2, xy, y^2 at the pixel centres of a tile, relative to the tile's centre."""
    offset = torch.arange(TILE, dtype=dtype) + 0.5 - TILE / 2
    y, x = (axis.flatten() for axis in torch.meshgrid(offset, offset, indexing="ij"))
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], -1)


def exponents(offsets: Tensor, conics: Tensor, log_opacities: Tensor) -> Tensor:
    """Coefficients [..., 6] of log(opacity) - sigma over the monomials; `offsets` are means from the tile's centre."""
    x, y = offsets.unbind(-1)
    a, b, c = conics.unbind(-1)
    linear_x, linear_y = a * x + b * y, b * x + c * y
    constant = log_opacities - 0.5 * (x * linear_x + y * linear_y)
    return torch.stack([constant, linear_x, linear_y, -0.5 * a, -b, -0.5 * c], -1)


def composite(coefficients: Tensor, features: Tensor, tiling: Tiling) -> tuple[Tensor, Tensor]:
    """Blends every tile front to back.

    Args:
        coefficients: [Q, CHUNK, 6], the exponents' over the monomials.
        features: [Q, CHUNK, D], what is blended.

    Returns:
        blended features [tiles, P, D] and the final transmittance [tiles, P].
    """
    blended: tuple[Tensor, Tensor] = _Composite.apply(coefficients, features, tiling)  # type: ignore[no-untyped-call]
    return blended


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, features: Tensor, tiling: Tiling) -> tuple[Tensor, Tensor]:
        cameras, height, width = tiling.grid
        basis = monomials(coefficients.dtype)
        image = coefficients.new_zeros(cameras * height * width, TILE * TILE, features.shape[-1])
        remaining = coefficients.new_ones(image.shape[:2])
        alive = torch.ones_like(remaining)
        levels = []
        for first, last in tiling.levels:
            tiles, chunks = tiling.tile_of_chunk[first:last], torch.arange(first, last)
            live = alive[tiles].any(1)
            tiles, chunks = tiles[live], chunks[live]
            if len(tiles) == 0:
                break
            raw = (basis @ coefficients[chunks].transpose(1, 2)).exp_()
            level, after, going_on = _blend(raw, remaining[tiles], alive[tiles])
            image[tiles] += (level[0] * level[1]) @ features[chunks]
            remaining[tiles], alive[tiles] = after, going_on
            levels.append(_Level(tiles, chunks, *level))
        ctx.levels, ctx.basis = levels, basis
        ctx.save_for_backward(features, remaining)
        return image, remaining

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_image, grad_remaining = gradients
        features, remaining = ctx.saved_tensors
        grad_features = torch.zeros_like(features)
        grad_coefficients = features.new_zeros(*features.shape[:2], 6)
        # what the part of each pixel that lies behind a Gaussian contributes to the loss
        behind = grad_remaining * remaining
        for level in reversed(ctx.levels):
            incoming = grad_image[level.tiles]
            weights = level.alpha * level.transmittance
            grad_features[level.chunks] = weights.transpose(1, 2) @ incoming
            value = incoming @ features[level.chunks].transpose(1, 2)
            weighted = weights * value
            ahead = weighted.flip(-1).cumsum_(-1).flip(-1)
            later = behind[level.tiles]
            behind[level.tiles] = later + ahead[..., 0]
            later = ahead.sub_(weighted).add_(later[..., None]).div_(1 - level.alpha)
            grad_alpha = value.mul_(level.transmittance).sub_(later)
            grad_exponent = grad_alpha.mul_(level.alpha).mul_(level.unclamped)
            grad_coefficients[level.chunks] = grad_exponent.transpose(1, 2) @ ctx.basis
        return grad_coefficients, grad_features, None


def _blend(raw: Tensor, before: Tensor, alive: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
    """Alphas, transmittances in front, no-clamp mask of a level; then the transmittance after it, and who goes on."""
    unclamped = (raw <= ALPHA_MAX).to(raw.dtype)
    alpha = raw.clamp_(max=ALPHA_MAX)
    alpha.mul_(alpha >= ALPHA_MIN)
    inclusive = torch.cumprod(1 - alpha, -1).mul_((before * alive)[..., None])
    keep = (inclusive > STOP).to(raw.dtype)
    alpha.mul_(keep)
    transmittance = torch.cat([before[..., None], inclusive[..., : CHUNK - 1]], -1)
    after = (inclusive + 2 * (1 - keep)).amin(-1).minimum(before)
    return (alpha, transmittance, unclamped), after, keep[..., -1]
