"""Depth errors of one image against true z-depth, over pixels where both the truth and the prediction have depth.

RMSE in metres and the mean absolute relative error, as STORM and the KITTI depth literature use them, without scale
alignment and without a range cap. A prediction of 0 means "no surface here" and is not scored, so both errors are only
honest beside the coverage: the share of pixels with true depth that also have predicted depth.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.image import Mask
from worldmodel.errors import DataError


@dataclass(frozen=True)
class DepthErrors:
    """RMSE in m (down), AbsRel (down) and coverage in [0, 1] (up); None is "no pixel to measure", NaN is a fault."""

    rmse_m: float | None
    abs_rel: float | None
    coverage: float | None


def depth_errors(predicted: NDArray[Any], truth: NDArray[Any], mask: Mask | None = None) -> DepthErrors:
    """Errors of a z-depth image [H, W] in metres (0 = none in both) inside a mask [H, W].

    A predicted NaN or infinity where the truth has depth makes every error NaN: it is a fault, not a missing pixel.

    Raises:
        DataError: the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise DataError(
            "depth metric: the prediction and the truth differ in shape",
            expected=f"{list(truth.shape)}",
            got=f"{list(predicted.shape)}",
            fix="render depth at the resolution of the prepared clip",
        )
    measured = truth > 0 if mask is None else (truth > 0) & mask
    if not measured.any():
        return DepthErrors(None, None, None)
    guess, true = predicted[measured].astype(np.float64), truth[measured].astype(np.float64)
    if not np.isfinite(guess).all():
        return DepthErrors(float("nan"), float("nan"), float("nan"))
    covered = guess > 0
    if not covered.any():
        return DepthErrors(None, None, 0.0)
    error = guess[covered] - true[covered]
    return DepthErrors(
        rmse_m=float(np.sqrt(np.mean(error**2))),
        abs_rel=float(np.mean(np.abs(error) / true[covered])),
        coverage=float(np.mean(covered)),
    )
