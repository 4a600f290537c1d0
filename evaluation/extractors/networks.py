"""The learned networks that metrics need, opened when the first feature is asked for.

Metrics take these interfaces, so that tests can give small networks of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.extractors.identity import ExtractorIdentity
from evaluation.protocols import LpipsNet, Preprocess

if TYPE_CHECKING:
    from evaluation.extractors.dists import Dists
    from evaluation.extractors.features import ImageFeatures, VideoFeatures
    from evaluation.extractors.lpips import Lpips

Images = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Opened = TypeVar("Opened")


class FeatureNetwork(Protocol):
    """Frames uint8 [T, H, W, 3] to features: [dims] for a video network, [T, dims] for an image network."""

    @property
    def identity(self) -> ExtractorIdentity: ...

    @property
    def min_frames(self) -> int: ...

    def cached(self, digest: str, load: Callable[[], Images], name: str = "") -> Matrix:
        """Of the frames that `load` gives; frames of this digest (sha256, hex) are loaded and computed only once.

        `name` names them in an error.
        """


class PerceptualNetwork(Protocol):
    """Compares images pairwise; `features` are opaque, so that those of a true image are computed once."""

    @property
    def identity(self) -> ExtractorIdentity: ...

    def features(self, images: Images) -> Any:
        """Of images uint8 [N, H, W, 3]."""

    def distances(self, a: Any, b: Any) -> Matrix:
        """[N], 0 for identical images."""

    def maps(self, a: Any, b: Any) -> Matrix:
        """[N, H, W]: where the distance comes from, for means inside a region.

        Raises:
            DataError: the network compares whole images only.
        """


class Networks(Protocol):
    """Every network that a protocol may ask for; each is opened at most once."""

    def videos(self, preprocess: Preprocess) -> FeatureNetwork: ...

    def images(self) -> FeatureNetwork: ...

    def lpips(self, net: LpipsNet) -> PerceptualNetwork: ...

    def dists(self) -> PerceptualNetwork: ...


@dataclass(frozen=True)
class WeightedNetworks:
    """The networks with the fetched weights, all of kind `canonical`.

    Args:
        cache: keeps features of videos and images by content.
        weights: directory of the weights, by default `weights_directory()`.
        device: `cpu`, or a CUDA device.
    """

    cache: Path
    weights: Path | None = None
    device: str = "cpu"
    _opened: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def videos(self, preprocess: Preprocess) -> "VideoFeatures":
        """I3D's logits [400], for FVD and KVD."""
        from evaluation.extractors.features import VideoFeatures

        return self._once(
            preprocess, lambda: VideoFeatures(self.cache, self.weights, self.device, preprocess=preprocess)
        )

    def images(self) -> "ImageFeatures":
        """Inception's features [T, 2048], for FID and KID."""
        from evaluation.extractors.features import ImageFeatures

        return self._once("images", lambda: ImageFeatures(self.cache, self.weights, self.device))

    def lpips(self, net: LpipsNet) -> "Lpips":
        """LPIPS v0.1."""
        from evaluation.extractors.lpips import Lpips

        return self._once(f"lpips-{net}", lambda: Lpips(net, self.weights, self.device))

    def dists(self) -> "Dists":
        """DISTS v0.1."""
        from evaluation.extractors.dists import Dists

        return self._once("dists", lambda: Dists(self.weights, self.device))

    def _once(self, name: str, open_it: Callable[[], Opened]) -> Opened:
        if name not in self._opened:
            self._opened[name] = open_it()
        found: Opened = self._opened[name]
        return found
