"""LPIPS and DISTS of the images of a clip, by the networks and strides that a protocol asks for.

LPIPS (Zhang et al., CVPR 2018) of a whole image is the network's distance, of a region the mean of its map inside the
mask. DISTS (Ding et al., TPAMI 2020) compares statistics of whole feature maps, so it has no regions. Images with
fractions are rounded to 8 bits first, as those of a model are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.extractors.identity import ExtractorIdentity, check_metric_name
from evaluation.extractors.networks import Networks, PerceptualNetwork
from evaluation.metrics.catalogue import DISTS, LPIPS_ALEX, LPIPS_VGG, MetricSpec
from evaluation.metrics.image import Mask, unit_rgb
from evaluation.protocols import LpipsNet, ReconstructionPreset
from worldmodel.errors import DataError

Regions = Mapping[str, Mask | None]
Scores = dict[tuple[str, str], float]
Batch = dict[str, list[Scores]]
LPIPS: Mapping[LpipsNet, MetricSpec] = {"alex": LPIPS_ALEX, "vgg": LPIPS_VGG}


@dataclass(frozen=True)
class Perceptual:
    """A learned metric: its network, of every so many target frames, and whether it also has regions."""

    spec: MetricSpec
    network: PerceptualNetwork
    stride: int
    regional: bool

    @property
    def identity(self) -> ExtractorIdentity:
        return self.network.identity

    def scores(self, images: Mapping[str, NDArray[Any]], truth: NDArray[Any], regions: Sequence[Regions]) -> Batch:
        """Every method's values on the V images of one frame.

        Args:
            images: by method, [V, H, W, 3] uint8, or floats on [0, 1].
            truth: [V, H, W, 3] uint8.
            regions: of each image, masks [H, W] by name; None for the whole image.

        Returns:
            By method, for each image (metric id, region) -> value; a region without a pixel is left out.
        """
        true = self.network.features(truth)
        masked = self.regional and any(mask is not None for of_image in regions for mask in of_image.values())
        found: Batch = {}
        for method, batch in images.items():
            made = self.network.features(eight_bit(batch))
            wholes = self.network.distances(true, made)
            maps = self.network.maps(true, made) if masked else None
            found[method] = [
                self._of_image(float(wholes[v]), None if maps is None else maps[v], of_image)
                for v, of_image in enumerate(regions)
            ]
        return found

    def _of_image(self, whole: float, spread: NDArray[np.float64] | None, regions: Regions) -> Scores:
        scores: Scores = {}
        for region, mask in regions.items():
            if mask is None:
                scores[self.spec.id, region] = whole
            elif spread is not None and mask.any():
                scores[self.spec.id, region] = float(np.mean(spread[mask]))
        return scores


def perceptual_metrics(preset: ReconstructionPreset, networks: Networks | None) -> tuple[Perceptual, ...]:
    """The learned metrics of a preset, with their networks opened.

    Raises:
        DataError: the preset asks for some, and no networks were given, or others than the metrics are defined on.
        MissingDependencyError: their weights are not there.
    """
    if not preset.lpips and not preset.dists_stride:
        return ()
    if networks is None:
        raise DataError(
            "the protocol measures LPIPS or DISTS, and no networks were given",
            fix="give the networks, or measure under the protocol debug",
        )
    found = [Perceptual(LPIPS[net], networks.lpips(net), preset.lpips_stride, regional=True) for net in preset.lpips]
    if preset.dists_stride:
        found.append(Perceptual(DISTS, networks.dists(), preset.dists_stride, regional=False))
    for metric in found:
        check_metric_name(metric.spec.id, metric.identity)
    return tuple(found)


def eight_bit(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images as uint8: floats on [0, 1] are rounded to the nearest of 256 steps."""
    if images.dtype == np.uint8:
        return images
    return np.round(unit_rgb(images) * 255).astype(np.uint8)
