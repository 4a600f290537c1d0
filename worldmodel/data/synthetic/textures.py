"""Procedural patterns that filter themselves: each takes the width of the pixel's footprint and returns its mean there.

Periodic patterns are box-filtered analytically (the integral of a pulse train, as `filteredpulsetrain` in Apodaca and
Gritz, Advanced RenderMan, 1999); noise is one tileable texture with a 1/f^2 power spectrum, sampled trilinearly from
its mip chain (Williams 1983). So textures do not alias and need no supersampling. Anisotropic filtering of the noise is
left out.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.solids import F32

NOISE_SIZE = 512
_NOISE_SEED = 20240131


def pulse(x: F32, width: F32, duty: F32 | float) -> F32:
    """Share of [x - width/2, x + width/2] that lies where frac(x) < duty."""
    width = np.maximum(width, 1e-3)
    low, high = x - 0.5 * width, x + 0.5 * width
    return (_pulse_integral(high, duty) - _pulse_integral(low, duty)) / width


def _pulse_integral(x: F32, duty: F32 | float) -> F32:
    whole = np.floor(x)
    return whole * duty + np.minimum(x - whole, duty)


def band(x: F32, width: F32, low: F32 | float, high: F32 | float) -> F32:
    """Share of [x - width/2, x + width/2] that lies in [low, high]."""
    width = np.maximum(width, 1e-3)
    inside = np.minimum(x + 0.5 * width, high) - np.maximum(x - 0.5 * width, low)
    return np.asarray(np.maximum(inside, 0) / width)


def cell_hash(*cells: F32) -> F32:
    """A number in [0, 1) for each cell of integer coordinates (given as floats)."""
    state = np.zeros(cells[0].shape, np.uint32)
    for cell in cells:
        state = (state ^ cell.astype(np.int32).astype(np.uint32)) * np.uint32(0x9E3779B1)
        state ^= state >> np.uint32(15)
        state *= np.uint32(0x85EBCA77)
        state ^= state >> np.uint32(13)
    return (state >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def noise(u: F32, v: F32, footprint: F32) -> F32:
    """Zero-mean noise of unit deviation at texel coordinates (u, v), averaged over `footprint` texels."""
    levels = _noise_levels()
    level = np.clip(np.log2(np.maximum(footprint, 1.0)), 0, len(levels.sizes) - 1.001)
    fraction = level - np.floor(level)
    lower = level.astype(np.int32)
    fine, coarse = levels.bilinear(u, v, lower), levels.bilinear(u, v, lower + 1)
    return np.asarray(fine + fraction * (coarse - fine))


class _MipChain:
    """All levels of a square texture in one flat array, so that every sample may read its own level."""

    def __init__(self, image: F32) -> None:
        images = [image]
        while images[-1].shape[0] > 1:
            last = images[-1]
            images.append(0.25 * (last[::2, ::2] + last[1::2, ::2] + last[::2, 1::2] + last[1::2, 1::2]))
        self.sizes = np.array([len(level) for level in images], np.int32)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes**2)[:-1]]).astype(np.int32)
        self._texels = np.concatenate([level.ravel() for level in images]).astype(np.float32)

    def bilinear(self, u: F32, v: F32, level: NDArray[np.int32]) -> F32:
        size, start = self.sizes[level], self._starts[level]
        scale = size.astype(np.float32) / np.float32(NOISE_SIZE)
        x, y = u * scale - np.float32(0.5), v * scale - np.float32(0.5)
        x0, y0 = np.floor(x), np.floor(y)
        fx, fy = x - x0, y - y0
        mask = size - 1
        column, row = x0.astype(np.int32), y0.astype(np.int32)
        left, right = column & mask, (column + 1) & mask
        top, bottom = start + (row & mask) * size, start + ((row + 1) & mask) * size
        texels = self._texels
        upper = texels[top + left] * (1 - fx) + texels[top + right] * fx
        under = texels[bottom + left] * (1 - fx) + texels[bottom + right] * fx
        return np.asarray(upper + fy * (under - upper))


@cache
def _noise_levels() -> _MipChain:
    rng = np.random.default_rng(_NOISE_SEED)
    frequency = np.hypot(np.fft.fftfreq(NOISE_SIZE)[:, None], np.fft.rfftfreq(NOISE_SIZE)[None])
    frequency[0, 0] = np.inf
    image = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((NOISE_SIZE, NOISE_SIZE))) / frequency)
    return _MipChain((image / image.std()).astype(np.float32))
