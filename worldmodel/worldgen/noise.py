"""Noise levels and the straight path between data and noise.

sigma = 1 is noise, sigma = 0 is data: x_sigma = (1 - sigma) x0 + sigma noise, and the network says v = noise - x0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def warp(u: Tensor, shift: float) -> Tensor:
    """sigma = s u / (1 + (s - 1) u): uniform u in 0..1, moved towards noise where s is above 1."""
    return shift * u / (1 + (shift - 1) * u)


def euler_sigmas(steps: int, shift: float) -> list[float]:
    """The steps + 1 levels of an Euler integration, from 1 down to 0."""
    u = 1 - torch.arange(steps + 1, dtype=torch.float64) / steps
    return [float(sigma) for sigma in warp(u, shift)]


def few_step_sigmas(levels: Sequence[float], shift: float) -> list[float]:
    """The levels of a few-step sampler, warped like those of the training."""
    return [float(sigma) for sigma in warp(torch.tensor(levels, dtype=torch.float64), shift)]


def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x_sigma of clips [B, F, C, h, w] at levels [B, F]."""
    level = sigma[:, :, None, None, None].to(x0.dtype)
    return (1 - level) * x0 + level * noise


def to_clean(x: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """x0 = x - sigma v of [B, F, C, h, w] at levels [B, F] or at one level; computed in float64."""
    level = sigma[:, :, None, None, None].double() if isinstance(sigma, Tensor) else sigma
    return (x.double() - level * velocity.double()).to(x.dtype)


def given_frames(frames: int) -> Tensor:
    """bool [F]: True where a latent frame is given clean, which is the first."""
    given = torch.zeros(frames, dtype=torch.bool)
    given[0] = True
    return given


def draw_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal numbers, drawn on the CPU so that every device sees the same."""
    return torch.randn(tuple(shape), generator=generator)


def spread_uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """[rows, columns], each uniform in 0..1, and in each column one in every 1/rows: a batch sees all levels."""
    places = torch.stack([torch.randperm(rows, generator=generator) for _ in range(columns)], dim=1)
    return (places + torch.rand(rows, columns, generator=generator)) / rows


def clip_sigmas(clips: int, frames: int, shift: float, generator: torch.Generator) -> Tensor:
    """[B, F]: one warped uniform level per clip; 0 at the given frame."""
    return _not_given(warp(spread_uniform(clips, 1, generator), shift).expand(clips, frames))


def chunk_sigmas(clips: int, frames: int, chunk: int, shift: float, generator: torch.Generator) -> Tensor:
    """[B, F]: a level of its own for every chunk, shared by its frames; 0 at the given frame."""
    count = len(chunk_bounds(frames, chunk))
    levels = warp(spread_uniform(clips, count, generator), shift)
    return _not_given(per_frame(levels, frames, chunk))


def per_frame(values: Tensor, frames: int, chunk: int) -> Tensor:
    """Values per chunk [B, K] as values per latent frame [B, F]."""
    sizes = torch.tensor([stop - start for start, stop in chunk_bounds(frames, chunk)])
    return values.repeat_interleave(sizes, dim=1)


def chunk_bounds(frames: int, chunk: int) -> list[tuple[int, int]]:
    """(start, stop) of every chunk: the first latent frame alone, then `chunk` at a time; the last may be shorter."""
    return [(0, 1), *((start, min(start + chunk, frames)) for start in range(1, frames, chunk))]


def _not_given(sigmas: Tensor) -> Tensor:
    return sigmas.masked_fill(given_frames(sigmas.shape[1]), 0.0)
