"""Networks with seeded random weights, for tests and for trying a pipeline out where no weights were fetched.

Their kind is `synthetic`: `identity.check_metric_name` refuses them under every metric's name, and so does the gate,
whose evidence asks for canonical extractors. Nothing opens them by itself where weights are missing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evaluation.extractors.convolution import check_images, exact_fp32
from evaluation.extractors.identity import ExtractorIdentity
from evaluation.protocols import LpipsNet, Preprocess
from worldmodel.errors import DataError

Images = NDArray[np.uint8]
Matrix = NDArray[np.float64]

CHANNELS = 16
SYNTHETIC_ID = "synthetic-conv"

_STRIDE = (1, 4, 4)


class SyntheticConv:
    """One random convolution, 3 frames x 5 x 5 pixels (1 x 5 x 5 of images), then ReLU; features are its means.

    Args:
        seed: of the weights.
        min_frames: that a video must have; 0: a network of images, whose features have a row a frame.
    """

    def __init__(self, seed: int = 0, min_frames: int = 3) -> None:
        self.min_frames, self._per_image = max(1, min_frames), not min_frames
        frames = 1 if self._per_image else 3
        self._kernel = torch.from_numpy(
            np.random.default_rng(seed).standard_normal((CHANNELS, 3, frames, 5, 5)).astype(np.float32)
        )
        self.identity = ExtractorIdentity(
            id=SYNTHETIC_ID,
            package=f"none, seed {seed}",
            file_sha256="0" * 64,
            tensor_fingerprint="0" * 64,
            layer="ReLU means",
            dims=CHANNELS,
            input=f"own size, [-1, 1], {frames} frames",
            licence="none",
            kind="synthetic",
        )
        self._kept: dict[str, Matrix] = {}

    def cached(self, digest: str, load: Callable[[], Images], name: str = "") -> Matrix:
        """See `FeatureNetwork`; kept in memory.

        Raises:
            DataError: not a video, or too short.
        """
        if digest not in self._kept:
            frames = load()
            check_images(frames, name or digest)
            if len(frames) < self.min_frames:
                expected = f"at least {self.min_frames} frames"
                raise DataError(f"{name}: too short for {SYNTHETIC_ID}", expected=expected, got=f"{len(frames)}")
            means = self.maps(frames).mean((3, 4))[0].double().numpy()
            self._kept[digest] = means.T if self._per_image else means.mean(1)
        return self._kept[digest]

    def maps(self, frames: Images) -> Tensor:
        """[1, 16, T', H / 4, W / 4] of frames uint8 [T, H, W, 3]."""
        with exact_fp32("cpu"):
            x = torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)))[None].float() / 127.5 - 1
            return functional.relu(functional.conv3d(x, self._kernel, stride=_STRIDE, padding=(0, 2, 2)))


@dataclass(frozen=True)
class SyntheticFeatures:
    """Of images of one size, [N, 16, H / 4, W / 4] rounded up."""

    values: Matrix
    height: int
    width: int


class SyntheticPairs:
    """Root mean squared difference of the random convolution of images; 0 for identical ones."""

    def __init__(self, seed: int = 0) -> None:
        self._network = SyntheticConv(seed, min_frames=0)
        self.identity = self._network.identity

    def features(self, images: Images) -> SyntheticFeatures:
        """Of images uint8 [N, H, W, 3]."""
        check_images(images, SYNTHETIC_ID)
        values = self._network.maps(images)[0].transpose(0, 1).double().numpy()
        return SyntheticFeatures(values, *images.shape[1:3])

    def distances(self, a: SyntheticFeatures, b: SyntheticFeatures) -> Matrix:
        """[N]."""
        return np.asarray(np.sqrt(((a.values - b.values) ** 2).mean((1, 2, 3))))

    def maps(self, a: SyntheticFeatures, b: SyntheticFeatures) -> Matrix:
        """[N, H, W]: every place of the layer stands for its 4 x 4 pixels."""
        coarse = np.sqrt(((a.values - b.values) ** 2).mean(1))
        return np.asarray(coarse.repeat(4, axis=1).repeat(4, axis=2)[:, : a.height, : a.width])


@dataclass(frozen=True)
class SyntheticNetworks:
    """Random networks in every place of `Networks`."""

    seed: int = 0
    _videos: dict[str, SyntheticConv] = field(default_factory=dict, init=False, repr=False, compare=False)

    def videos(self, preprocess: Preprocess) -> SyntheticConv:
        return self._videos.setdefault(preprocess, SyntheticConv(self.seed))

    def images(self) -> SyntheticConv:
        return self._videos.setdefault("images", SyntheticConv(self.seed, min_frames=0))

    def lpips(self, net: LpipsNet) -> SyntheticPairs:
        return SyntheticPairs(self.seed)

    def dists(self) -> SyntheticPairs:
        return SyntheticPairs(self.seed)
