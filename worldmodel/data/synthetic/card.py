"""The difficulty card: what the simplest methods reach on clips of the synthetic world, and what the images are like.

PSNR is the mean over target images, on 8-bit colours in [0, 1]. `unseen_fraction` is the share of target pixels that no
context image saw. The spectrum's slope is a log-log fit of radially averaged power (Field 1987: natural images are near
-2; driving images with a bright sky are steeper). FVD belongs to evaluation and is left out.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.reprojection import reproject_context
from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.source import WORLD_VERSION

LOWEST_CYCLES = 0.03
HIGHEST_CYCLES = 0.4
LUMA = np.array([0.299, 0.587, 0.114])


def difficulty_card(clips: Sequence[Clip], context_stride: int) -> dict[str, float | int | str]:
    """Measures clips that have dense depth, masks and poses; see the module for what the entries mean."""
    rows = [_measure(clip, context_stride) for clip in clips]
    card: dict[str, float | int | str] = {
        "world_version": WORLD_VERSION,
        "clips": len(clips),
        "context_stride": context_stride,
    }
    for key in rows[0]:
        card[key] = round(float(np.mean([row[key] for row in rows])), 4)
    return card


def spectrum_slope(images: Iterable[NDArray[np.uint8]]) -> float:
    """Slope of log power over log frequency of images [H, W, 3] of one size, radially averaged (Hann window)."""
    powers = []
    for image in images:
        grey = image @ LUMA / 255.0
        height, width = grey.shape
        window = np.hanning(height)[:, None] * np.hanning(width)
        powers.append(np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2)
    power = np.mean(powers, 0)
    height, width = power.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    edges = np.geomspace(LOWEST_CYCLES, HIGHEST_CYCLES, 13)
    ring = np.digitize(frequency, edges)
    rings = [k for k in range(1, len(edges)) if (ring == k).any()]
    x = [np.log(frequency[ring == k]).mean() for k in rings]
    y = [np.log(power[ring == k].mean()) for k in rings]
    return float(np.polyfit(x, y, 1)[0])


def _measure(clip: Clip, stride: int) -> dict[str, float]:
    context, targets = context_frames(len(clip.rgb), stride), target_frames(len(clip.rgb), stride)
    nearest, oracle, unseen = [], [], []
    for frame in targets:
        near = min(context, key=lambda other, frame=frame: abs(other - frame))  # type: ignore[misc]
        for camera in range(len(clip.cameras)):
            truth, copy = clip.rgb[frame, camera] / 255.0, clip.rgb[near, camera] / 255.0
            moved, valid = reproject_context(clip, frame, camera, context)
            nearest.append(_psnr(copy, truth))
            oracle.append(_psnr(np.where(valid[..., None], moved, copy), truth))
            unseen.append(1 - valid.mean())
    assert clip.sky is not None and clip.dynamic is not None and clip.world_from_ego is not None
    steps = np.linalg.norm(np.diff(clip.world_from_ego[:, :3, 3], axis=0), axis=1)
    return {
        "psnr_nearest_context_db": float(np.mean(nearest)),
        "psnr_oracle_reprojection_db": float(np.mean(oracle)),
        "unseen_fraction": float(np.mean(unseen)),
        "sky_fraction": float(clip.sky.mean()),
        "dynamic_fraction": float(clip.dynamic.mean()),
        "ego_speed_mps": float(steps.mean() * clip.rate_hz),
        "spectrum_slope": spectrum_slope(clip.rgb.reshape(-1, *clip.rgb.shape[2:])),
    }


def _psnr(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    error = float(np.mean((image - truth) ** 2))
    return float(-10 * np.log10(max(error, 1e-10)))
