"""Revisit consistency: a still surface that the given frame shows must look the same whenever a later frame shows it.

Pixels of frame 0 are found again in every later frame by the true depth and the recorded path, which the video was
asked to follow (`worldmodel.data.correspondence`: occluded, moving and sky pixels are left out). A video that forgets
or redraws the scene loses here, and so does one that does not follow the path. Colours are compared as they are: fog
and headlights change them with distance in true frames as well, so this is read against what the true frames score.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.cross_view import MIN_SHARE
from evaluation.metrics.image import psnr_of, unit_rgb
from worldmodel.data.correspondence import SameSurface, same_surface
from worldmodel.data.schema import Clip

Revisits = Sequence[tuple[int, SameSurface]]


def revisits(clip: Clip, camera: int) -> Revisits:
    """What of frame 0 each later frame of one camera shows: (frame, surfaces), of at least `MIN_SHARE` of the image.

    Args:
        clip: for which `why_no_surfaces` is None.
        camera: its index.
    """
    n_pixels = clip.rgb[0, 0, ..., 0].size
    found = [(t, same_surface(clip, (0, camera), (t, camera))) for t in range(1, len(clip.rgb))]
    return [(t, surface) for t, surface in found if len(surface) >= MIN_SHARE * n_pixels]


def revisit_psnr(found: Revisits, video: NDArray[np.uint8]) -> float:
    """Mean over the frames found of the PSNR in dB, up is better, of a video [T, H, W, 3] against its own frame 0.

    Raises:
        ValueError: no frame was found.
    """
    if not found:
        raise ValueError("no frame shows the given one's surfaces again")
    first = unit_rgb(video[0])
    values = [psnr_of(surface.difference(first, unit_rgb(video[t])) ** 2) for t, surface in found]
    return float(np.mean([value for value in values if value is not None]))
