"""Where two images of one clip show the same still surface, by the true depth.

Both pixels must lie on it: the point that a pixel shows is projected into the other view, where all four pixels around
the place must have its depth (the z-test of `reprojection`). Pixels on moving objects are left out on both sides, for
images have different times; so is the sky, which is no surface.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.reprojection import Index, View, corners_at, target_points, why_no_reprojection
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError
from worldmodel.geometry.poses import Float

_WHOLE = 1 - 1e-6


@dataclass(frozen=True)
class SameSurface:
    """P pixels of one view, and where another view shows the same surface.

    Attributes:
        pixels: [P] flat indices into the first view's image.
        corners: [4, P] flat indices into the other view's image: the pixels around the place.
        shares: [4, P] of their colours in the place's; they sum to 1.
    """

    pixels: Index
    corners: Index
    shares: Float

    def __len__(self) -> int:
        return len(self.pixels)

    def difference(self, image: NDArray[Any], other: NDArray[Any]) -> Float:
        """[P, C]: the first view's pixels less what the other view shows there, of images [H, W, C]."""
        here = image.reshape(-1, image.shape[-1])[self.pixels]
        there = other.reshape(-1, other.shape[-1])[self.corners]
        difference: Float = here - np.einsum("kp,kpc->pc", self.shares, there)
        return difference


def same_surface(clip: Clip, view: View, other: View) -> SameSurface:
    """The still surfaces that two views, each (frame, camera index), both show; none where they share nothing.

    Raises:
        DataError: `why_no_surfaces` says why.
    """
    reason = why_no_surfaces(clip)
    if reason is not None or clip.depth is None or clip.dynamic is None:
        raise DataError(f"clip {clip.clip_id}: surfaces cannot be found again", got=reason or "")
    points, sky = target_points(clip, *view)
    pixels = np.flatnonzero(~sky & ~clip.dynamic[view].ravel())
    corners, shares = corners_at(clip, other, points[pixels], np.zeros(len(pixels), bool))
    shares = np.where(clip.dynamic[other].ravel()[corners], 0.0, shares)
    both = shares.sum(0) > _WHOLE
    return SameSurface(pixels[both], corners[:, both], shares[:, both])


def why_no_surfaces(clip: Clip) -> str | None:
    """What a clip lacks to find a surface again in another image, or None."""
    return why_no_reprojection(clip) or (None if clip.dynamic is not None else "no dynamic mask")
