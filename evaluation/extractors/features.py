"""Frames to feature vectors, each computed once: by a pinned network in fp32, kept on disk by content.

The network is loaded when the first feature is not in the cache. Nothing a feature is computed beside changes its bits.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.extractors.convolution import check_images, exact_fp32
from evaluation.extractors.feature_cache import FeatureCache, Matrix
from evaluation.extractors.i3d import CLASSES, I3D, MIN_FRAMES
from evaluation.extractors.identity import ExtractorIdentity, identity_of
from evaluation.extractors.inception import FEATURES, Inception
from evaluation.extractors.preprocess import for_i3d, for_inception
from evaluation.extractors.weights import I3D_K400, INCEPTION, load_tensors
from evaluation.protocols import Preprocess
from worldmodel.errors import DataError

Video = NDArray[np.uint8]

_BATCH = 4  # images at once; more are no quicker
_say = logging.getLogger(__name__).warning


class FrameFeatures(ABC):
    """What networks of videos and of images share.

    Args:
        cache: directory that keeps features.
        weights: directory of the weights, by default `weights_directory()`.
        device: `cpu`, or a CUDA device.
        say: takes a sentence when a cached feature turns out to be damaged.
    """

    min_frames = 1

    def __init__(
        self, cache: Path, weights: Path | None = None, device: str = "cpu", say: Callable[[str], None] = _say
    ) -> None:
        self._directory, self._weights, self._device, self._say = cache, weights, device, say

    @property
    @abstractmethod
    def identity(self) -> ExtractorIdentity:
        """Which network this is, and how it is fed."""

    @abstractmethod
    def _compute(self, frames: Video) -> Matrix:
        """The features of frames that were checked."""

    def features(self, frames: Video, name: str = "video") -> Matrix:
        """The features of frames [T, H, W, 3], in fp32 without TF32 or autocast: [dims], or [T, dims] of images.

        Args:
            frames: at least `min_frames`, of any size.
            name: names them in an error.

        Raises:
            DataError: they are too few, or not uint8 [T, H, W, 3].
            MissingDependencyError: the weights were not fetched yet.
        """
        check_images(frames, name)
        if len(frames) < self.min_frames:
            raise DataError(
                f"{name}: too short for {self.identity.id}",
                expected=f"at least {self.min_frames} frames",
                got=f"{len(frames)}",
                fix="use longer clips, or leave the metrics of this network out",
            )
        with exact_fp32(self._device):
            return self._compute(frames)

    def cached(self, digest: str, load: Callable[[], Video], name: str = "") -> Matrix:
        """As `features`, of the frames that `load` gives; frames of this digest are loaded and computed only once.

        Args:
            digest: sha256 (hex) of what makes the frames, so that others never have it.
            load: reads the frames.
            name: names them in an error, by default their digest.
        """
        return self._cache.get(digest, lambda: self.features(load(), name or digest))

    @cached_property
    def _cache(self) -> FeatureCache:
        return FeatureCache(self._directory, self.identity, self._say)


class VideoFeatures(FrameFeatures):
    """I3D's 400 Kinetics logits [400] of a video, which FVD and KVD are defined on.

    Args:
        cache, weights, device, say: see `FrameFeatures`.
        preprocess: how frames come to the network.
    """

    min_frames = MIN_FRAMES

    def __init__(
        self,
        cache: Path,
        weights: Path | None = None,
        device: str = "cpu",
        say: Callable[[str], None] = _say,
        preprocess: Preprocess = "squash224",
    ) -> None:
        super().__init__(cache, weights, device, say)
        self._preprocess: Preprocess = preprocess

    @cached_property
    def identity(self) -> ExtractorIdentity:
        return identity_of(I3D_K400, "logits", CLASSES, f"{self._preprocess}, [-1, 1]")

    @cached_property
    def _network(self) -> I3D:
        return I3D(load_tensors(I3D_K400, self._weights)).to(self._device)

    def _compute(self, frames: Video) -> Matrix:
        logits = self._network(for_i3d(frames, self._preprocess).to(self._device))[0]
        return np.asarray(logits.cpu().numpy(), np.float64)


class ImageFeatures(FrameFeatures):
    """Inception's pool_3 [T, 2048], a row a frame, which FID and KID are defined on."""

    @cached_property
    def identity(self) -> ExtractorIdentity:
        return identity_of(INCEPTION, "pool_3", FEATURES, "TensorFlow 1 bilinear 299 x 299, (x - 128) / 128")

    @cached_property
    def _network(self) -> Inception:
        return Inception(load_tensors(INCEPTION, self._weights)).to(self._device)

    def _compute(self, frames: Video) -> Matrix:
        batches = [frames[start : start + _BATCH] for start in range(0, len(frames), _BATCH)]
        found = [self._network(for_inception(batch).to(self._device)).cpu() for batch in batches]
        return np.asarray(torch.cat(found).numpy(), np.float64)
