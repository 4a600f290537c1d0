"""Every metric by its id: one id means exactly one computation, with its unit and direction.

Ids read `area/name@extractor`; those without an extractor need no learned network. `METRICS_VERSION` is part of each
report's protocol: raise it whenever a change of code could change a number.
"""

from dataclasses import dataclass

from evaluation.base import Direction

METRICS_VERSION = 1
PSNR_CAP_DB = 100.0
SSIM_WINDOW_PX = 7


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

# distances of generated clips to reference clips, as they are or all through the same tokenizer (-tok)
FVD = MetricSpec("video/fvd@i3d-k400", "1", "down")
KVD = MetricSpec("video/kvd@i3d-k400", "1", "down")
FVD_TOK = MetricSpec("video/fvd-tok@i3d-k400", "1", "down")
KVD_TOK = MetricSpec("video/kvd-tok@i3d-k400", "1", "down")
VIDEO_PSNR = MetricSpec("video/psnr", "dB", "up")

METRICS: dict[str, MetricSpec] = {spec.id: spec for spec in (PSNR, SSIM, DEPTH_RMSE, DEPTH_ABS_REL, DEPTH_COVERAGE)}
VIDEO_METRICS: dict[str, MetricSpec] = {spec.id: spec for spec in (FVD_TOK, KVD_TOK, FVD, KVD, VIDEO_PSNR)}
