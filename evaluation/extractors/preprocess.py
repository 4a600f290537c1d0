"""From a video's pixels to what a network takes. A protocol's name is part of the extractor's identity."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SQUASH224 = "squash224-torch"


def squash224(video: NDArray[np.uint8]) -> Tensor:
    """Protocol `squash224-torch`: uint8 [T, H, W, 3] to f32 [1, 3, T, 224, 224] on [-1, 1].

    Every frame is resized to 224 x 224 whatever its aspect, bilinearly between pixel centres (`align_corners=False`)
    and without antialiasing, as TATS and cd-fvd do; then 2 x / 255 - 1. torch's own `interpolate` rounds differently
    on one thread and on two; this does not.
    """
    frames = torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2))).float()
    return (_stretched(_stretched(frames, 2), 3) / 127.5 - 1.0)[None]


def _stretched(frames: Tensor, axis: int, size: int = 224) -> Tensor:
    """One axis of [3, T, H, W] at `size` points between the two nearest pixels; the outermost ones are repeated."""
    old = frames.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    below = np.floor(at).astype(np.int64)
    low, high = (frames.index_select(axis, torch.from_numpy(i)) for i in (below, np.minimum(below + 1, old - 1)))
    part = torch.from_numpy((at - below).astype(np.float32)).view([size if a == axis else 1 for a in range(4)])
    return low * (1 - part) + high * part
