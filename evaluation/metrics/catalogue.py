"""Every metric by its id: one id means exactly one computation, with its unit and direction.

Ids read `area/name@extractor`; the metrics here have no learned extractor. `METRICS_VERSION` is part of each report's
protocol: raise it whenever a change of code could change a number.
"""

from dataclasses import dataclass
from typing import Literal

METRICS_VERSION = 1
PSNR_CAP_DB = 100.0
SSIM_WINDOW_PX = 7

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class MetricSpec:
    """A metric's id, its unit ("1" for a ratio), and whether up or down is better."""

    id: str
    unit: str
    direction: Direction


PSNR = MetricSpec("image/psnr", "dB", "up")
SSIM = MetricSpec("image/ssim", "1", "up")
DEPTH_RMSE = MetricSpec("depth/rmse", "m", "down")
DEPTH_ABS_REL = MetricSpec("depth/abs_rel", "1", "down")
DEPTH_COVERAGE = MetricSpec("depth/coverage", "1", "up")

METRICS: dict[str, MetricSpec] = {spec.id: spec for spec in (PSNR, SSIM, DEPTH_RMSE, DEPTH_ABS_REL, DEPTH_COVERAGE)}
