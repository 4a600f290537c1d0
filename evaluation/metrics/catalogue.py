"""Every metric by its id: one id means exactly one computation, with its unit and direction.

Ids read `area/name@extractor`; those without an extractor need no learned network. `METRICS_VERSION` is part of each
report's protocol: raise it whenever a change of code could change a number.
"""

from dataclasses import dataclass

from evaluation.base import Direction

METRICS_VERSION = 2
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

LPIPS_ALEX = MetricSpec("image/lpips@lpips-alex", "1", "down")
LPIPS_VGG = MetricSpec("image/lpips@lpips-vgg", "1", "down")
DISTS = MetricSpec("image/dists@dists-v0.1", "1", "down")
# how many Gaussians a clip is reconstructed by
GAUSSIANS = MetricSpec("scene/gaussians", "1", "down")

# distances of generated clips to reference clips, as they are or all through the same tokenizer (-tok)
FVD = MetricSpec("video/fvd@i3d-k400", "1", "down")
KVD = MetricSpec("video/kvd@i3d-k400", "1", "down")
FVD_TOK = MetricSpec("video/fvd-tok@i3d-k400", "1", "down")
KVD_TOK = MetricSpec("video/kvd-tok@i3d-k400", "1", "down")
FID = MetricSpec("image/fid@inception-2015-12-05", "1", "down")
KID = MetricSpec("image/kid@inception-2015-12-05", "1", "down")
VIDEO_PSNR = MetricSpec("video/psnr", "dB", "up")
VIDEO_LPIPS = MetricSpec("video/lpips@lpips-alex", "1", "down")
VIDEO_LPIPS_VGG = MetricSpec("video/lpips@lpips-vgg", "1", "down")

# how well images of one scene agree, by the true depth and the recorded path
CROSS_VIEW = MetricSpec("image/cross-view-psnr", "dB", "up")
VIDEO_CROSS_VIEW = MetricSpec("video/cross-view-psnr", "dB", "up")
REVISIT = MetricSpec("video/revisit-psnr", "dB", "up")
FOLLOWING = MetricSpec("video/action-following", "1", "up")
YAW_ERROR = MetricSpec("video/action-yaw", "deg", "down")
SEED_SPREAD = MetricSpec("video/seed-spread", "1", "down")

METRICS: dict[str, MetricSpec] = {
    spec.id: spec
    for spec in (
        *(PSNR, SSIM, LPIPS_ALEX, LPIPS_VGG, DISTS),
        *(DEPTH_RMSE, DEPTH_ABS_REL, DEPTH_COVERAGE),
        *(CROSS_VIEW, GAUSSIANS),
    )
}
VIDEO_METRICS: dict[str, MetricSpec] = {
    spec.id: spec
    for spec in (
        *(FVD_TOK, KVD_TOK, FVD, KVD, FID, KID),
        *(VIDEO_PSNR, VIDEO_LPIPS, VIDEO_LPIPS_VGG),
        *(VIDEO_CROSS_VIEW, REVISIT, FOLLOWING, YAW_ERROR, SEED_SPREAD),
    )
}
