"""What a model must beat, and what it could reach: the nearest context frame, and the oracle reprojection.

Nearest context copies the same camera's context frame that is closest in time. The oracle warps context colours by
the true depth of the target frame; where no context camera saw a surface it falls back on the nearest context frame, so
both are scored on the very pixels the model is scored on.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.image import unit_rgb
from worldmodel.data.schema import Clip


def nearest_context_frame(target: int, context: tuple[int, ...]) -> int:
    """The context frame closest to the target; of two equally close, the earlier."""
    return min(context, key=lambda frame: (abs(frame - target), frame))


def nearest_context(clip: Clip, target: int, camera: int, context: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image [H, W, 3] of the same camera in the nearest context frame."""
    image: NDArray[np.uint8] = clip.rgb[nearest_context_frame(target, context), camera]
    return image


def oracle_reprojection(clip: Clip, target: int, camera: int, context: tuple[int, ...]) -> NDArray[Any]:
    """The target image [H, W, 3] in [0, 1] from context colours and true depth; only where `why_no_oracle` is None."""
    from worldmodel.data.reprojection import reproject_context

    rgb, valid = reproject_context(clip, target, camera, context)
    return np.where(valid[..., None], unit_rgb(rgb), unit_rgb(nearest_context(clip, target, camera, context)))


def why_no_oracle(clip: Clip) -> str | None:
    """Why the oracle cannot be computed for this clip, or None if it can."""
    if not clip.has["poses"]:
        return "no camera poses"
    if clip.depth is None:
        return "no true depth"
    return None if clip.depth_kind == "dense" else f"true depth is {clip.depth_kind}, not dense"
