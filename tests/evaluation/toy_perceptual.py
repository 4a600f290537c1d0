"""Networks that compare images by their mean absolute difference, so that every value can be worked out by hand."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.extractors.identity import ExtractorIdentity, Kind
from evaluation.extractors.networks import FeatureNetwork
from evaluation.protocols import LpipsNet, Preprocess

Array = NDArray[np.float64]


def toy_identity(name: str, kind: Kind = "canonical") -> ExtractorIdentity:
    facts = {"package": "toy==1", "layer": "pixels", "dims": 0, "input": "as it is", "licence": "CC0-1.0"}
    digests = {"file_sha256": "f" * 64, "tensor_fingerprint": "f" * 64}
    return ExtractorIdentity(id=name, kind=kind, **facts, **digests)


@dataclass
class ToyPerceptual:
    """`distances` are the mean absolute difference, plus one in a whole; `maps` are it at every pixel."""

    identity: ExtractorIdentity
    images_seen: int = 0

    def features(self, images: NDArray[np.uint8]) -> Array:
        assert images.dtype == np.uint8 and images.ndim == 4
        self.images_seen += len(images)
        return images.astype(float) / 255

    def distances(self, a: Array, b: Array) -> Array:
        return 1 + self.maps(a, b).mean((1, 2))

    def maps(self, a: Array, b: Array) -> Array:
        return np.abs(a - b).mean(-1)


@dataclass
class ToyNetworks:
    """Stands in for the canonical LPIPS and DISTS; video networks are not to be opened."""

    kind: Kind = "canonical"
    opened: dict[str, ToyPerceptual] = field(default_factory=dict)

    def lpips(self, net: LpipsNet) -> ToyPerceptual:
        return self._open(f"lpips-{net}")

    def dists(self) -> ToyPerceptual:
        return self._open("dists-v0.1")

    def videos(self, preprocess: Preprocess) -> FeatureNetwork:
        raise AssertionError("the video network was opened")

    def images(self) -> FeatureNetwork:
        raise AssertionError("the image network was opened")

    def _open(self, name: str) -> ToyPerceptual:
        return self.opened.setdefault(name, ToyPerceptual(toy_identity(name, self.kind)))
