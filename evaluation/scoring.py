"""Scores of one clip: every metric, region and method, image by image; the number of its Gaussians once.

Regions come from the clip's masks: `static` and `dynamic` where it has a dynamic mask, `non-sky` where it has a sky
mask. An image without a pixel of a region is left out of that region's mean; a NaN stays, and spoils it visibly.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.baselines import nearest_context, oracle_reprojection, why_no_oracle
from evaluation.consistency import render_scores, why_no_consistency
from evaluation.generation_report import TRUE_FRAMES
from evaluation.metrics.catalogue import DEPTH_ABS_REL, DEPTH_COVERAGE, DEPTH_RMSE, GAUSSIANS, PSNR, SSIM
from evaluation.metrics.depth import depth_errors
from evaluation.metrics.image import Mask, psnr_of, squared_error_map, ssim_map, ssim_of
from evaluation.perceptual import Perceptual, Scores
from evaluation.renders import RenderedClip, Renders
from evaluation.report import NEAREST, ORACLE
from worldmodel.data.schema import Clip

MODEL = "model"
Regions = dict[str, Mask | None]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class ImageScore:
    """One metric of one image, target frame `frame` of camera `camera`; or of the whole clip, where both are None."""

    frame: int | None
    camera: str | None
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

    def by_camera(self, metric: str, region: str = "all") -> dict[str, float]:
        """Mean over the images of each camera, by name; a metric of the whole clip has none."""
        found: dict[str, list[float]] = {}
        for image in self.of(metric, region):
            if image.camera is not None:
                found.setdefault(image.camera, []).append(image.value)
        return {camera: float(np.mean(values)) for camera, values in sorted(found.items())}


def score_clip(clip: Clip, renders: Renders, entry: RenderedClip, learned: Sequence[Perceptual] = ()) -> ClipScores:
    """Scores the renders and the baselines on the target frames of a clip, with learned metrics where given."""
    scores = ClipScores(entry, not_applicable=_lacking(clip))
    scores.images[GAUSSIANS.id, "all", MODEL].append(ImageScore(None, None, float(entry.n_gaussians)))
    for i, t in enumerate(entry.target_frames):
        images, regions = _images(clip, entry, renders, i), [_regions(clip, t, v) for v in range(len(clip.cameras))]
        for v, camera in enumerate(clip.cameras):
            for method, batch in images.items():
                _add(scores, method, (t, camera), _image_scores(batch[v], clip.rgb[t, v], regions[v]))
            if clip.depth is not None:
                _add(scores, MODEL, (t, camera), _depth_scores(renders.depth[i, v], clip.depth[t, v], regions[v]))
        for metric in learned:
            if i % metric.stride == 0:
                for method, found in metric.scores(images, clip.rgb[t], regions).items():
                    for camera, of_image in zip(clip.cameras, found, strict=True):
                        _add(scores, method, (t, camera), of_image)
        _add_consistency(scores, clip, t, images)
    return scores


def of_cameras(clip: Clip, renders: Renders, cameras: Sequence[str] | None) -> tuple[Clip, Renders]:
    """The clip and its renders with these of its cameras alone, in the clip's order; None: all of them."""
    if cameras is None or set(clip.cameras) <= set(cameras):
        return clip, renders
    kept = [v for v, camera in enumerate(clip.cameras) if camera in cameras]
    narrow = replace(
        clip,
        cameras=tuple(clip.cameras[v] for v in kept),
        rgb=clip.rgb[:, kept],
        Ks=None if clip.Ks is None else clip.Ks[kept],
        world_from_camera=_views(clip.world_from_camera, kept),
        depth=_views(clip.depth, kept),
        sky=_views(clip.sky, kept),
        dynamic=_views(clip.dynamic, kept),
        layout_rgb=_views(clip.layout_rgb, kept),
    )
    return narrow, Renders(renders.rgb[:, kept], renders.depth[:, kept])


def _views(images: NDArray[Scalar] | None, kept: list[int]) -> NDArray[Scalar] | None:
    return None if images is None else images[:, kept]


def _images(clip: Clip, entry: RenderedClip, renders: Renders, i: int) -> dict[str, NDArray[Any]]:
    """By method, the images [V, H, W, 3] of the i-th target frame: the model's and the baselines'."""
    t, cameras = entry.target_frames[i], range(len(clip.cameras))
    images: dict[str, NDArray[Any]] = {
        MODEL: renders.rgb[i],
        NEAREST: np.stack([nearest_context(clip, t, v, entry.context_frames) for v in cameras]),
    }
    if why_no_oracle(clip) is None:
        images[ORACLE] = np.stack([oracle_reprojection(clip, t, v, entry.context_frames) for v in cameras])
    return images


def _add(scores: ClipScores, method: str, place: tuple[int, str], found: Scores) -> None:
    for (metric, region), value in found.items():
        scores.images[metric, region, method].append(ImageScore(*place, value))


def _add_consistency(scores: ClipScores, clip: Clip, frame: int, images: dict[str, NDArray[Any]]) -> None:
    """How well the views of one frame agree: the model's, the nearest context's, and the true ones as the floor."""
    if why_no_consistency(clip) is not None:
        return
    for method, batch in ((MODEL, images[MODEL]), (NEAREST, images[NEAREST]), (TRUE_FRAMES, clip.rgb[frame])):
        for metric, values in render_scores(clip, frame, batch).items():
            for camera, value in values:
                _add(scores, method, (frame, camera), {(metric, "all"): value})


def _lacking(clip: Clip) -> dict[str, str]:
    no_oracle, no_consistency = why_no_oracle(clip), why_no_consistency(clip)
    lacking = {ORACLE: no_oracle} if no_oracle else {}
    if no_consistency is not None:
        lacking["agreement of the views"] = no_consistency
    if clip.depth is None:
        lacking["depth"] = "no true depth"
    if clip.dynamic is None:
        lacking["regions static and dynamic"] = "no dynamic mask"
    if clip.sky is None:
        lacking["region non-sky"] = "no sky mask"
    return lacking


def _regions(clip: Clip, frame: int, camera: int) -> Regions:
    return dict(_named_regions(clip, frame, camera))


def _named_regions(clip: Clip, frame: int, camera: int) -> Iterator[tuple[str, Mask | None]]:
    yield "all", None
    if clip.dynamic is not None:
        yield "static", ~clip.dynamic[frame, camera]
        yield "dynamic", clip.dynamic[frame, camera]
    if clip.sky is not None:
        yield "non-sky", ~clip.sky[frame, camera]


def _image_scores(image: NDArray[Any], truth: NDArray[Any], regions: Regions) -> Scores:
    error, similarity = squared_error_map(image, truth), ssim_map(image, truth)
    scores: Scores = {}
    for region, mask in regions.items():
        for metric, value in ((PSNR, psnr_of(error, mask)), (SSIM, ssim_of(similarity, mask))):
            if value is not None:
                scores[metric.id, region] = value
    return scores


def _depth_scores(depth: NDArray[Any], truth: NDArray[Any], regions: Regions) -> Scores:
    scores: Scores = {}
    for region, mask in regions.items():
        errors = depth_errors(depth, truth, mask)
        named = ((DEPTH_RMSE, errors.rmse_m), (DEPTH_ABS_REL, errors.abs_rel), (DEPTH_COVERAGE, errors.coverage))
        scores |= {(metric.id, region): value for metric, value in named if value is not None}
    return scores
