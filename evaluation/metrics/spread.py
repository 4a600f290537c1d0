"""Seed spread: how far videos of one clip by different seeds lie apart, where nothing moves.

What stands still was given (by the frame, the layout and the rendered prior), so seeds should agree on it; moving
objects are free. The standard deviation is over seeds, its square is averaged over pixels, channels and frames.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.image import unit_rgb
from worldmodel.errors import DataError


def seed_spread(videos: Sequence[NDArray[np.uint8]], still: NDArray[np.bool_]) -> float | None:
    """Root of the mean variance over seeds, on [0, 1], 0 for equal videos; down is better.

    Args:
        videos: of at least two seeds, each [T, H, W, 3]; frame 0 is given and does not count.
        still: [T, H, W], what stands still in the true frames.

    Returns:
        None where nothing stands still.

    Raises:
        DataError: fewer than two videos, or of unequal sizes.
    """
    shapes = {video.shape[:3] for video in videos} | {still.shape}
    if len(videos) < 2 or len(shapes) > 1:
        got = f"{len(videos)} videos, sizes and mask {sorted(shapes)}"
        raise DataError("seed spread", expected="at least two videos of one size, and a mask of it", got=got)
    if not still[1:].any():
        return None
    frames = [
        np.var([unit_rgb(video[t][still[t]]) for video in videos], axis=0, ddof=1).ravel() for t in range(1, len(still))
    ]
    return float(np.sqrt(np.concatenate(frames).mean()))
