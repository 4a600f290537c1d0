"""DISTS v0.1: the likeness of structure and of texture of two images (Ding et al. 2022, eqs. 5 to 7).

VGG16 with L2 pooling (a Hann window) in place of maximum pooling; the images themselves are the first of six layers. Of
every channel, means and covariances over the whole image are compared, so there is no map of it, and no region. Images
are compared at the size they have (the authors' code resizes its example pictures no further either).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.extractors.backbones import VGG_CHANNELS, Backbone, vgg16
from evaluation.extractors.convolution import check_images, exact_fp32
from evaluation.extractors.identity import ExtractorIdentity, identity_of
from evaluation.extractors.lpips import check_pairs
from evaluation.extractors.weights import DISTS, LPIPS_VGG, load_tensors
from worldmodel.errors import DataError

Images = NDArray[np.uint8]
Matrix = NDArray[np.float64]

CHANNELS = (3, *VGG_CHANNELS)

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_STABLE = 1e-6  # c1 and c2 of eqs. 5 and 6


@dataclass(frozen=True)
class Layer:
    """One layer of N images: its deviations from the channels' means, [N, C, h, w]; the means and variances, [N, C]."""

    deviations: Tensor
    means: Matrix
    variances: Matrix


@dataclass(frozen=True)
class DistsFeatures:
    """The image on [0, 1], then every stage of the network."""

    layers: tuple[Layer, ...]


class L2Pool(nn.Module):
    """Maps [B, C, H, W] to half as many rows and columns: the root of squares averaged under a 3 x 3 Hann window."""

    def forward(self, x: Tensor) -> Tensor:
        halves = functional.avg_pool2d(x.square(), 2, 1, 1)  # two boxes make the window: [1, 1] * [1, 1] = [1, 2, 1]
        return (functional.avg_pool2d(halves, 2, 2) + 1e-12).sqrt()


class Dists:
    """DISTS; its network is loaded when the first image comes.

    Args:
        weights: directory of the weights, by default `weights_directory()`.
        device: `cpu`, or a CUDA device.
        tensors: those of `LPIPS_VGG` and `DISTS`, where they are at hand.
    """

    def __init__(
        self, weights: Path | None = None, device: str = "cpu", tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        self._weights, self._device, self._given = weights, device, tensors

    @cached_property
    def identity(self) -> ExtractorIdentity:
        """Which network this is, and how it is fed."""
        return identity_of(DISTS, f"image, 5 x ReLU of VGG16 ({LPIPS_VGG.tensor_fingerprint})", 0, "own size, [0, 1]")

    @cached_property
    def _network(self) -> Backbone:
        return vgg16(self._tensors, L2Pool).to(self._device)

    @cached_property
    def _tensors(self) -> Mapping[str, Tensor]:
        return self._given or {**load_tensors(LPIPS_VGG, self._weights), **load_tensors(DISTS, self._weights)}

    @cached_property
    def _shares(self) -> tuple[list[Matrix], list[Matrix]]:
        """The weights of texture (alpha) and structure (beta) by layer; all of them add up to 1."""
        alpha, beta = (self._tensors[name].double().flatten().numpy() for name in ("alpha", "beta"))
        total, ends = alpha.sum() + beta.sum(), np.cumsum(CHANNELS)[:-1]
        return np.split(alpha / total, ends), np.split(beta / total, ends)

    def features(self, images: Images) -> DistsFeatures:
        """Of images uint8 [N, H, W, 3], in fp32 without TF32 or autocast.

        Raises:
            DataError: they are something else.
            MissingDependencyError: the weights were not fetched yet.
        """
        check_images(images, DISTS.id)
        with exact_fp32(self._device):
            layers = [self._layers(images[place : place + 1]) for place in range(len(images))]
            return DistsFeatures(tuple(_layer(torch.cat(layer)) for layer in zip(*layers, strict=True)))

    def distances(self, a: DistsFeatures, b: DistsFeatures) -> Matrix:
        """DISTS [N] of images a and b, pair by pair; 0 for identical ones.

        Raises:
            DataError: not as many, or of another size.
        """
        return np.asarray(self.parts(a, b).sum(1))

    def maps(self, a: DistsFeatures, b: DistsFeatures) -> Matrix:
        """There are none.

        Raises:
            DataError: always.
        """
        raise DataError(f"{DISTS.id} compares whole images: it has no map", expected="the region `all`")

    def parts(self, a: DistsFeatures, b: DistsFeatures) -> Matrix:
        """What the image and each stage add to the distances, [N, 6]. Raises as `distances`."""
        first, second = a.layers[0].deviations, b.layers[0].deviations
        (*_, h, w), (*_, other_h, other_w) = first.shape, second.shape
        check_pairs(first, second, (h, w), (other_h, other_w))
        with exact_fp32(self._device):
            found = [_unlike(*four) for four in zip(a.layers, b.layers, *self._shares, strict=True)]
        return np.stack(found, 1)

    def _layers(self, images: Images) -> list[Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self._device).float() / 255
        mean, deviation = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
        return [x, *self._network((x - mean) / deviation)]


def _layer(values: Tensor) -> Layer:
    means = values.contiguous().mean((2, 3), keepdim=True)
    deviations = values - means
    return Layer(deviations, _matrix(means[:, :, 0, 0]), _mean_product(deviations, deviations))


def _mean_product(a: Tensor, b: Tensor) -> Matrix:
    """Of every channel, [N, C]."""
    return _matrix((a * b).mean((2, 3)))


def _matrix(values: Tensor) -> Matrix:
    return np.asarray(values.cpu().numpy(), np.float64)


def _unlike(a: Layer, b: Layer, alpha: Matrix, beta: Matrix) -> Matrix:
    """alpha (1 - l) + beta (1 - s) added over channels, [N].

    l compares means; s, structure, by variances and covariance (eqs. 5 and 6). Both are exactly 1 for equal layers.
    """
    texture = (2 * a.means * b.means + _STABLE) / (a.means**2 + b.means**2 + _STABLE)
    covariances = _mean_product(a.deviations, b.deviations)
    structure = (2 * covariances + _STABLE) / (a.variances + b.variances + _STABLE)
    return np.asarray(((1 - texture) * alpha + (1 - structure) * beta).sum(1))
