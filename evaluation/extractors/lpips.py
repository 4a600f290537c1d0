"""LPIPS v0.1: how far apart two images are to a network of classes (Zhang et al. 2018, eq. 1, with learned weights).

At every pixel of five layers, features are brought to length 1; their squared differences are weighted per channel,
averaged over the layer, and the layers are added up. Images are compared at the size they have.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.extractors.backbones import Backbone, alexnet, vgg16
from evaluation.extractors.convolution import check_images, exact_fp32
from evaluation.extractors.identity import ExtractorIdentity, identity_of
from evaluation.extractors.preprocess import resized
from evaluation.extractors.weights import LPIPS_ALEX, LPIPS_VGG, WeightSource, load_tensors
from evaluation.protocols import LpipsNet
from worldmodel.errors import DataError

Images = NDArray[np.uint8]
Matrix = NDArray[np.float64]

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPSILON = 1e-10
_BATCH_PX = 1 << 19  # images at once, in pixels of theirs


@dataclass(frozen=True)
class Variant:
    """A network under LPIPS: where it is from, how it is built, and the fewest rows and columns it takes."""

    source: WeightSource
    build: Callable[[Mapping[str, Tensor]], Backbone]
    least_px: int


VARIANTS: Mapping[LpipsNet, Variant] = {
    "alex": Variant(LPIPS_ALEX, alexnet, 31),
    "vgg": Variant(LPIPS_VGG, vgg16, 16),
}


@dataclass(frozen=True)
class LpipsFeatures:
    """Unit vectors of every layer, [N, C, h, w] each, of images of one size."""

    layers: tuple[Tensor, ...]
    height: int
    width: int


class Lpips:
    """LPIPS by one of its networks, which is loaded when the first image comes.

    Args:
        net: which.
        weights: directory of the weights, by default `weights_directory()`.
        device: `cpu`, or a CUDA device.
        tensors: the network's, where they are at hand.
    """

    def __init__(
        self,
        net: LpipsNet = "alex",
        weights: Path | None = None,
        device: str = "cpu",
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._variant, self._weights, self._device, self._given = VARIANTS[net], weights, device, tensors

    @cached_property
    def identity(self) -> ExtractorIdentity:
        """Which network this is, and how it is fed."""
        return identity_of(self._variant.source, "5 x ReLU, v0.1", 0, "own size, [-1, 1]")

    @cached_property
    def _tensors(self) -> Mapping[str, Tensor]:
        return self._given or load_tensors(self._variant.source, self._weights)

    @cached_property
    def _network(self) -> Backbone:
        return self._variant.build(self._tensors).to(self._device)

    @cached_property
    def _heads(self) -> list[Tensor]:
        names = [f"NetLinLayer_{layer}.Conv_0.kernel" for layer in range(5)]
        return [self._tensors[name].view(1, -1, 1, 1).to(self._device) for name in names]

    def features(self, images: Images) -> LpipsFeatures:
        """Of images uint8 [N, H, W, 3], in fp32 without TF32 or autocast.

        Raises:
            DataError: they are something else, or too small.
            MissingDependencyError: the weights were not fetched yet.
        """
        least = self._variant.least_px
        check_images(images, self._variant.source.id, (least, least))
        count, height, width = images.shape[:3]
        at_once = max(1, _BATCH_PX // (height * width))
        with exact_fp32(self._device):
            batches = [self._unit(images[start : start + at_once]) for start in range(0, count, at_once)]
            layers = tuple(torch.cat(layer) for layer in zip(*batches, strict=True))
        return LpipsFeatures(layers, height, width)

    def distances(self, a: LpipsFeatures, b: LpipsFeatures) -> Matrix:
        """LPIPS [N] of images a and b, pair by pair; 0 for identical ones.

        Raises:
            DataError: not as many, or of another size.
        """
        return np.asarray(self.parts(a, b).sum(1))

    def parts(self, a: LpipsFeatures, b: LpipsFeatures) -> Matrix:
        """What each layer adds to the distances, [N, 5]. Raises as `distances`."""
        found = [layer.cpu().numpy().mean((1, 2), dtype=np.float64) for layer in self._differences(a, b)]
        return np.stack(found, 1)

    def maps(self, a: LpipsFeatures, b: LpipsFeatures) -> Matrix:
        """The layers' differences [N, H, W], each brought to the images' size bilinearly, added up.

        Their mean is close to the distance, not equal to it: resizing weighs pixels at the border of a layer more.
        Raises as `distances`.
        """
        size = (a.height, a.width)
        layers = [resized(layer[None].double(), size)[0].cpu().numpy() for layer in self._differences(a, b)]
        return np.asarray(np.sum(layers, axis=0))

    def _unit(self, images: Images) -> list[Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self._device).float() / 127.5 - 1
        shift, scale = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        layers = self._network((x - shift) / scale)
        return [layer / (layer.square().sum(1, keepdim=True).sqrt() + _EPSILON) for layer in layers]

    def _differences(self, a: LpipsFeatures, b: LpipsFeatures) -> list[Tensor]:
        """Of each layer, weighted and added over channels, [N, h, w]."""
        check_pairs(a.layers[0], b.layers[0], (a.height, a.width), (b.height, b.width))
        with exact_fp32(self._device):
            layers = zip(a.layers, b.layers, self._heads, strict=True)
            return [((one - other).square() * head).sum(1) for one, other, head in layers]


def check_pairs(a: Tensor, b: Tensor, a_size: tuple[int, int], b_size: tuple[int, int]) -> None:
    """Refuses features of unequally many images, or of images of another size.

    Raises:
        DataError: with both.
    """
    if len(a) != len(b) or a_size != b_size:
        said = [f"{len(of)} images of {h} x {w} px" for of, (h, w) in ((a, a_size), (b, b_size))]
        raise DataError("images that cannot be compared pairwise", expected=said[0], got=said[1])
