"""Scores of one clip: every metric, region and method, image by image.

Regions come from the clip's masks: `static` and `dynamic` where it has a dynamic mask, `non-sky` where it has a sky
mask. An image without a pixel of a region is left out of that region's mean; a NaN stays, and spoils it visibly.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.baselines import nearest_context, oracle_reprojection, why_no_oracle
from evaluation.metrics.catalogue import DEPTH_ABS_REL, DEPTH_COVERAGE, DEPTH_RMSE, PSNR, SSIM
from evaluation.metrics.depth import depth_errors
from evaluation.metrics.image import Mask, psnr_of, squared_error_map, ssim_map, ssim_of
from evaluation.renders import RenderedClip, Renders
from evaluation.report import NEAREST, ORACLE
from worldmodel.data.schema import Clip

MODEL = "model"
Scores = dict[tuple[str, str], float]


@dataclass(frozen=True)
class ImageScore:
    """One metric of one image: target frame `frame` of camera `camera`."""

    frame: int
    camera: str
    value: float


@dataclass
class ClipScores:
    """Everything measured on one clip; the key of `images` is (metric id, region, method)."""

    entry: RenderedClip
    images: dict[tuple[str, str, str], list[ImageScore]] = field(default_factory=lambda: defaultdict(list))
    not_applicable: dict[str, str] = field(default_factory=dict)

    def of(self, metric: str, region: str = "all", method: str = MODEL) -> list[ImageScore]:
        """The clip's images that were measured, in order."""
        return self.images.get((metric, region, method), [])

    def count(self, metric: str, region: str = "all") -> int:
        """How many of the clip's images were measured."""
        return len(self.of(metric, region))

    def mean(self, metric: str, region: str = "all", method: str = MODEL) -> float | None:
        """Mean over the clip's images (NaN if one of them is), or None when none was measured."""
        images = self.of(metric, region, method)
        return float(np.mean([image.value for image in images])) if images else None


def score_clip(clip: Clip, entry: RenderedClip, renders: Renders) -> ClipScores:
    """Scores the renders and the baselines on the target frames of a clip."""
    no_oracle = why_no_oracle(clip)
    scores = ClipScores(entry, not_applicable=_lacking(clip, no_oracle))
    for i, t in enumerate(entry.target_frames):
        for v, camera in enumerate(clip.cameras):
            truth, regions = clip.rgb[t, v], dict(_regions(clip, t, v))
            images: dict[str, NDArray[Any]] = {
                MODEL: renders.rgb[i, v],
                NEAREST: nearest_context(clip, t, v, entry.context_frames),
            }
            if no_oracle is None:
                images[ORACLE] = oracle_reprojection(clip, t, v, entry.context_frames)
            found = {method: _image_scores(image, truth, regions) for method, image in images.items()}
            if clip.depth is not None:
                found[MODEL] |= _depth_scores(renders.depth[i, v], clip.depth[t, v], regions)
            for method, values in found.items():
                for (metric, region), value in values.items():
                    scores.images[metric, region, method].append(ImageScore(t, camera, value))
    return scores


def _lacking(clip: Clip, no_oracle: str | None) -> dict[str, str]:
    lacking = {ORACLE: no_oracle} if no_oracle else {}
    if clip.depth is None:
        lacking["depth"] = "no true depth"
    if clip.dynamic is None:
        lacking["regions static and dynamic"] = "no dynamic mask"
    if clip.sky is None:
        lacking["region non-sky"] = "no sky mask"
    return lacking


def _regions(clip: Clip, frame: int, camera: int) -> Iterator[tuple[str, Mask | None]]:
    yield "all", None
    if clip.dynamic is not None:
        yield "static", ~clip.dynamic[frame, camera]
        yield "dynamic", clip.dynamic[frame, camera]
    if clip.sky is not None:
        yield "non-sky", ~clip.sky[frame, camera]


def _image_scores(image: NDArray[Any], truth: NDArray[Any], regions: dict[str, Mask | None]) -> Scores:
    error, similarity = squared_error_map(image, truth), ssim_map(image, truth)
    scores: Scores = {}
    for region, mask in regions.items():
        for metric, value in ((PSNR, psnr_of(error, mask)), (SSIM, ssim_of(similarity, mask))):
            if value is not None:
                scores[metric.id, region] = value
    return scores


def _depth_scores(depth: NDArray[Any], truth: NDArray[Any], regions: dict[str, Mask | None]) -> Scores:
    scores: Scores = {}
    for region, mask in regions.items():
        errors = depth_errors(depth, truth, mask)
        named = ((DEPTH_RMSE, errors.rmse_m), (DEPTH_ABS_REL, errors.abs_rel), (DEPTH_COVERAGE, errors.coverage))
        scores |= {(metric.id, region): value for metric, value in named if value is not None}
    return scores
