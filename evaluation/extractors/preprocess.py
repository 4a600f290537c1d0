"""From pixels to what a network takes. A preprocessing's name is part of the extractor's identity.

Resizing is our own arithmetic: torch's `interpolate` rounds differently on one thread and on two; this does not.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from evaluation.extractors.inception import SIZE_PX as IMAGE_PX
from evaluation.protocols import Preprocess
from worldmodel.errors import DataError

VIDEO_PX = 224
Images = NDArray[np.uint8]

_WCODA_COLUMNS = 400


def for_i3d(video: Images, preprocess: Preprocess) -> Tensor:
    """A video uint8 [T, H, W, 3] to f32 [1, 3, T, 224, 224] on [-1, 1].

    `squash224`: every frame is resized to 224 x 224 whatever its aspect, bilinearly between pixel centres
    (`align_corners=False`) and without antialiasing, as TATS and cd-fvd do.
    `short224-centercrop`: the shorter side is resized to 224 in the same way, the longer one in proportion, rounded up;
    then the middle 224 x 224 are kept (VideoGPT, MCVD, StyleGAN-V's forks).
    `wcoda-224x400`: Pillow's antialiased bicubic resize to 400 columns, which is a quarter of nuScenes' images, then
    the bottom 224 rows (MagicDrive's input), then the middle 224 columns (its FVD).

    Raises:
        DataError: `wcoda-224x400` of a video that is too wide to have 224 rows at 400 columns.
    """
    if preprocess == "wcoda-224x400":
        video = _bottom(_of_400_columns(video))
    frames = torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2))).float()
    if preprocess == "squash224":
        frames = resized(frames, (VIDEO_PX, VIDEO_PX))
    elif preprocess == "short224-centercrop":
        frames = resized(frames, _short_side(*frames.shape[2:]))
    return (_middle(frames) / 127.5 - 1.0)[None]


def for_inception(images: Images) -> Tensor:
    """Images uint8 [N, H, W, 3] to f32 [N, 3, 299, 299] on [-1, 1): resized, then (x - 128) / 128.

    The resize is TensorFlow 1's bilinear one: pixel i is taken at i * old / 299 of the image, in fp32, without
    half-pixel centres or antialiasing.
    """
    frames = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    for axis in (3, 2):
        old = frames.shape[axis]
        at = np.arange(IMAGE_PX, dtype=np.float32) * np.float32(old / IMAGE_PX)
        low, high, part = _neighbours(frames, axis, at)
        frames = low + (high - low) * part
    return (frames - 128) / 128


def resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames [a, b, H, W] at `size`, bilinearly between pixel centres; the outermost pixels are repeated."""
    for axis, new in zip((2, 3), size, strict=True):
        old = frames.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low, high, part = _neighbours(frames, axis, at)
        frames = low * (1 - part) + high * part
    return frames


def _neighbours(
    frames: Tensor, axis: int, at: NDArray[np.float32] | NDArray[np.float64]
) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels below and above each place on an axis, and the share of the upper one."""
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, frames.shape[axis] - 1)
    low, high = (frames.index_select(axis, torch.from_numpy(place).to(frames.device)) for place in (below, above))
    part = torch.from_numpy((at - below).astype(np.float32)).to(frames.device)
    return low, high, part.view([len(at) if a == axis else 1 for a in range(4)])


def _short_side(height: int, width: int) -> tuple[int, int]:
    short = min(height, width)
    rows, columns = (VIDEO_PX if n == short else math.ceil(n * (VIDEO_PX / short)) for n in (height, width))
    return rows, columns


def _middle(frames: Tensor) -> Tensor:
    top, left = ((size - VIDEO_PX) // 2 for size in frames.shape[2:])
    return frames[:, :, top : top + VIDEO_PX, left : left + VIDEO_PX]


def _of_400_columns(video: Images) -> Images:
    height, width = video.shape[1:3]
    size = (_WCODA_COLUMNS, height * _WCODA_COLUMNS // width)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in video])


def _bottom(video: Images) -> Images:
    rows = video.shape[1]
    if rows < VIDEO_PX:
        got = f"{rows} at {_WCODA_COLUMNS} columns"
        raise DataError("wcoda-224x400: the video is too wide", expected=f"at least {VIDEO_PX} rows", got=got)
    return video[:, rows - VIDEO_PX :]
