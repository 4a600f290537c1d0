"""Drawing flat shapes into a pinhole camera: near-plane clipping, projection, filled polygons and lines.

Shapes are drawn at twice the image's size and reduced, which smooths their edges. There is no depth buffer: what is
drawn later covers what was drawn before. Deterministic.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worldmodel.geometry.poses import Float, crop_and_resize_intrinsics, project_points

NEAR_M = 0.3
_SCALE = 2

Colour = tuple[int, int, int]


class Canvas:
    """A black image of one camera. Shapes are given in camera axes (x right, y down, z forward), in metres."""

    def __init__(self, K: Float, height: int, width: int) -> None:
        self._K = crop_and_resize_intrinsics(K, (0, 0), (_SCALE, _SCALE))
        self._size = np.array([_SCALE * width, _SCALE * height])
        self._image = Image.new("RGB", (_SCALE * width, _SCALE * height))
        self._draw = ImageDraw.Draw(self._image)

    def polygons(self, corners: Float, fills: Sequence[Colour], outlines: Sequence[Colour] | None = None) -> None:
        """Draws N convex polygons [N, P, 3] in the order given; what lies nearer than `NEAR_M` is cut off."""
        pixels, z = project_points(self._K, corners)
        whole, some = np.all(z >= NEAR_M, -1), np.any(z > NEAR_M, -1)
        for index in np.flatnonzero(some & (~whole | self._on_canvas(pixels))).tolist():
            shape = pixels[index] if whole[index] else project_points(self._K, clip_near(corners[index]))[0]
            outline = None if outlines is None else outlines[index]
            self._draw.polygon(_whole_pixels(shape), fills[index], outline)

    def lines(self, starts: Float, ends: Float, colour: Colour, width_m: float) -> None:
        """Draws S line pieces, ends [S, 3]: as wide as `width_m` looks at their middle, and at least one pixel."""
        ahead = (starts[:, 2] > NEAR_M) | (ends[:, 2] > NEAR_M)
        pieces = np.stack(_clip_pieces(starts[ahead], ends[ahead]), 1)
        pixels, z = project_points(self._K, pieces)
        widths = np.maximum(_SCALE, np.rint(width_m * self._K[0, 0] / z.mean(-1)))
        for index in np.flatnonzero(self._on_canvas(pixels)).tolist():
            self._draw.line(_whole_pixels(pixels[index]), colour, int(widths[index]))

    def pixels(self) -> NDArray[np.uint8]:
        """What was drawn, [H, W, 3]."""
        return np.asarray(self._image.reduce(_SCALE))

    def _on_canvas(self, pixels: Float) -> NDArray[np.bool_]:
        """Which shapes [N, P, 2] have a bounding box that meets the canvas."""
        meets = (pixels.max(1) >= 0) & (pixels.min(1) <= self._size)
        return np.asarray(meets.all(-1))


def _whole_pixels(points: Float) -> list[int]:
    """x, y, x, y, ... of the pixels that points [P, 2] lie in; PIL draws through whole pixels, both ends included."""
    inside: list[int] = np.floor(points).astype(int).ravel().tolist()
    return inside


def clip_near(corners: Float) -> Float:
    """The part [Q, 3] of a polygon [P, 3] at z >= `NEAR_M` (Sutherland and Hodgman, one plane)."""
    after = np.roll(corners, -1, 0)
    kept = []
    for a, b in zip(corners, after, strict=True):
        if a[2] >= NEAR_M:
            kept.append(a)
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            kept.append(a + (NEAR_M - a[2]) / (b[2] - a[2]) * (b - a))
    return np.array(kept).reshape(-1, 3)


def _clip_pieces(starts: Float, ends: Float) -> tuple[Float, Float]:
    """Line pieces [S, 3] with the end that lies nearer than `NEAR_M` moved onto that plane; one end is beyond it."""
    run = ends - starts
    level = np.where(np.abs(run[:, 2]) < 1e-9, 1e-9, run[:, 2])
    crossing = starts + ((NEAR_M - starts[:, 2]) / level)[:, None] * run
    behind = starts[:, 2:] < NEAR_M, ends[:, 2:] < NEAR_M
    return np.where(behind[0], crossing, starts), np.where(behind[1], crossing, ends)
