"""Cross-view consistency: two cameras of one time must show the same surface in the same colours.

For every pixel of one camera whose surface another camera shows as well (`worldmodel.data.correspondence`: by the true
depth, still surfaces, no sky), its colour is compared with the bilinear colour in the other image; a camera's value is
the PSNR over all such pixels and all other cameras. Exposure and gain are not fitted: colours that differ between
cameras count as errors. So true frames do not reach the cap either: resampling, and what looks different from another
side, cost them some dB. Blurred images agree better than true ones, and flat ones score the cap: this is read beside
PSNR, and against what the truth scores.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.image import psnr_of, unit_rgb
from worldmodel.data.correspondence import SameSurface, same_surface
from worldmodel.data.schema import Clip

MIN_SHARE = 0.01
Shared = Mapping[int, SameSurface]


def shared_surfaces(clip: Clip, frame: int, camera: int, others: Iterable[int]) -> Shared:
    """What a camera and each of the others both show at one frame, by the other's index.

    None of them where all shared pixels together are less than `MIN_SHARE` of the image.

    Args:
        clip: for which `why_no_surfaces` is None.
        frame, camera, others: indices.
    """
    found = {other: same_surface(clip, (frame, camera), (frame, other)) for other in others}
    enough = sum(map(len, found.values())) >= MIN_SHARE * clip.rgb[0, 0, ..., 0].size
    return {other: surface for other, surface in found.items() if len(surface)} if enough else {}


def cross_view_psnr(shared: Shared, image: NDArray[Any], others: Mapping[int, NDArray[Any]]) -> float:
    """PSNR in dB, up is better, of an image [H, W, 3] (uint8, or floats on [0, 1]) and the others, by camera index.

    Raises:
        ValueError: nothing is shared.
    """
    here = unit_rgb(image)
    errors = [surface.difference(here, unit_rgb(others[other])) ** 2 for other, surface in shared.items()]
    value = psnr_of(np.concatenate(errors)) if errors else None
    if value is None:
        raise ValueError("no surface is shared")
    return value
