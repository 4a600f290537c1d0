"""PSNR and SSIM of one image against the truth, over the whole image or a region of it.

PSNR is -10 log10 of the mean squared error over pixels and channels on [0, 1]. It is capped at `PSNR_CAP_DB`, which is
what identical images get, where it would be infinite. SSIM is scikit-image's definition (Wang et al. 2004 with a 7x7
uniform window and the sample covariance); its mean leaves out the 3 border pixels whose window leaves the image, and a
region's SSIM is the mean of the same map inside the region. LPIPS and DISTS are in `evaluation.perceptual`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.catalogue import PSNR_CAP_DB, SSIM_WINDOW_PX
from worldmodel.errors import DataError

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


def unit_rgb(image: NDArray[Any]) -> Float:
    """An image [..., 3] as float64 in [0, 1]: uint8 is divided by 255, floats are clamped (NaN stays NaN)."""
    if image.dtype == np.uint8:
        return image.astype(np.float64) / 255.0
    clamped: Float = np.clip(image.astype(np.float64), 0.0, 1.0)
    return clamped


def squared_error_map(predicted: NDArray[Any], truth: NDArray[Any]) -> Float:
    """Mean squared error over channels, [H, W], of images [H, W, 3].

    Raises:
        DataError: the two are not images of one shape.
    """
    _check_pair(predicted, truth)
    difference: Float = unit_rgb(predicted) - unit_rgb(truth)
    error: Float = np.mean(difference**2, axis=-1)
    return error


def psnr_of(error: Float, mask: Mask | None = None) -> float | None:
    """PSNR in dB of a squared error map [H, W] inside a mask [H, W]; None where the mask holds no pixel."""
    inside = error if mask is None else error[mask]
    if inside.size == 0:
        return None
    mse = float(np.mean(inside))
    floor = 10.0 ** (-PSNR_CAP_DB / 10.0)
    return float("nan") if np.isnan(mse) else float(-10.0 * np.log10(max(mse, floor)))


def ssim_map(predicted: NDArray[Any], truth: NDArray[Any]) -> Float:
    """SSIM at every pixel whose window lies inside the image, [H-6, W-6], of images [H, W, 3].

    Raises:
        DataError: the two are not images of one shape, or are smaller than the window.
    """
    from skimage.metrics import structural_similarity

    _check_pair(predicted, truth)
    if min(truth.shape[:2]) < SSIM_WINDOW_PX:
        raise DataError(
            "image/ssim: the image is smaller than the window",
            expected=f"at least {SSIM_WINDOW_PX} x {SSIM_WINDOW_PX} pixels",
            got=f"{truth.shape[0]} x {truth.shape[1]}",
            fix="evaluate at a larger resolution",
        )
    similarity: Callable[..., tuple[float, Float]] = structural_similarity
    _, full = similarity(
        unit_rgb(truth), unit_rgb(predicted), win_size=SSIM_WINDOW_PX, data_range=1.0, channel_axis=-1, full=True
    )
    border = SSIM_WINDOW_PX // 2
    inner: Float = full[border:-border, border:-border]
    return np.asarray(np.mean(inner, axis=-1))


def ssim_of(similarity: Float, mask: Mask | None = None) -> float | None:
    """Mean of an `ssim_map` [H-6, W-6] inside a mask [H, W]; None where the mask holds none of its pixels."""
    border = SSIM_WINDOW_PX // 2
    inside = similarity if mask is None else similarity[mask[border:-border, border:-border]]
    return float(np.mean(inside)) if inside.size else None


def psnr(predicted: NDArray[Any], truth: NDArray[Any], mask: Mask | None = None) -> float | None:
    """PSNR in dB, up is better, of images [H, W, 3] (uint8, or floats on [0, 1]) inside a mask [H, W]."""
    return psnr_of(squared_error_map(predicted, truth), mask)


def ssim(predicted: NDArray[Any], truth: NDArray[Any], mask: Mask | None = None) -> float | None:
    """SSIM, 1 for identical, of images [H, W, 3] (uint8, or floats on [0, 1]) inside a mask [H, W]."""
    return ssim_of(ssim_map(predicted, truth), mask)


def _check_pair(predicted: NDArray[Any], truth: NDArray[Any]) -> None:
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[-1] != 3:
        raise DataError(
            "image metric: the prediction and the truth are not images of one shape",
            expected=f"[H, W, 3], as the truth {list(truth.shape)}",
            got=f"prediction {list(predicted.shape)}",
            fix="render at the resolution of the prepared clip",
        )
