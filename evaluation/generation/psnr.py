"""PSNR of generated frames against the clip's own true frames."""

import numpy as np
from numpy.typing import NDArray

from evaluation.generation.rollouts import Video
from evaluation.metrics.image import psnr


def psnr_by_frame(video: Video, truth: Video) -> NDArray[np.float64]:
    """PSNR in dB of frames 1 to T - 1 of videos [T, H, W, 3] against the truth: [T - 1]."""
    pairs = zip(video[1:], truth[1:], strict=True)
    return np.array([psnr(frame, true) for frame, true in pairs], dtype=np.float64)
