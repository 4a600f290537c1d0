"""Images of several cameras as one strip of colour pixels, side by side and enlarged by a whole factor.

A whole factor and no interpolation: what is seen are the pixels that were rendered.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.image import unit_rgb
from evaluation.pictures.style import Pixels

GAP_PX = 4
ERROR_TOP = 0.4
DEPTH_RANGE_M = (2.0, 100.0)
_NO_DEPTH = np.array([236, 238, 240], np.uint8)


def strip(images: NDArray[np.uint8], scale: int) -> Pixels:
    """Images [V, H, W, 3] side by side with white gaps: [H * scale, strip_width(V, W, scale), 3]."""
    views, height, width, _ = images.shape
    wide = np.full((height * scale, strip_width(views, width, scale), 3), 255, np.uint8)
    for v, image in enumerate(images):
        left = v * (width * scale + GAP_PX)
        wide[:, left : left + width * scale] = image.repeat(scale, 0).repeat(scale, 1)
    return wide


def strip_width(views: int, width: int, scale: int) -> int:
    """Pixels a strip is wide."""
    return views * width * scale + (views - 1) * GAP_PX


def error_colours(predicted: NDArray[Any], truth: NDArray[Any]) -> Pixels:
    """Mean absolute colour error of images [..., 3] from 0 (black) to `ERROR_TOP` (bright)."""
    error = np.abs(unit_rgb(predicted) - unit_rgb(truth)).mean(-1)
    return _colours("inferno", error / ERROR_TOP)


def depth_colours(depth: NDArray[Any]) -> Pixels:
    """z-depth [...] in metres on a logarithmic scale, near red to far blue; grey where there is none."""
    near, far = DEPTH_RANGE_M
    known = np.isfinite(depth) & (depth > 0)
    share = np.log(np.where(known, depth, near) / near) / np.log(far / near)
    colours = _colours("turbo", 1.0 - share)
    colours[~known] = _NO_DEPTH
    return colours


def _colours(name: str, share: NDArray[Any]) -> Pixels:
    import matplotlib

    colours: Pixels = matplotlib.colormaps[name](np.clip(share, 0.0, 1.0), bytes=True)[..., :3]
    return np.ascontiguousarray(colours)
