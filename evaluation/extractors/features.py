"""Videos to feature vectors, each computed once: by a pinned network in fp32, kept on disk by content.

A cached feature is found by the extractor's identity and the video's digest, so a change of either computes anew. The
network is loaded when the first feature is not in the cache.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evaluation.base import canonical_json
from evaluation.extractors.i3d import CLASSES, I3D, MIN_FRAMES
from evaluation.extractors.identity import ExtractorIdentity, identity_of
from evaluation.extractors.preprocess import SQUASH224, squash224
from evaluation.extractors.weights import I3D_K400, load_tensors
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError

Video = NDArray[np.uint8]
Features = NDArray[np.float64]

_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_say = logging.getLogger(__name__).warning


class VideoFeatures:
    """I3D's 400 Kinetics logits, which FVD and KVD are defined on.

    Args:
        cache: directory that keeps features.
        weights: directory of the weights, by default `weights_directory()`.
        device: `cpu`, or a CUDA device.
        say: takes a sentence when a cached feature turns out to be damaged.
    """

    min_frames = MIN_FRAMES

    def __init__(
        self, cache: Path, weights: Path | None = None, device: str = "cpu", say: Callable[[str], None] = _say
    ) -> None:
        self._cache, self._weights, self._device, self._say = cache, weights, device, say

    @cached_property
    def identity(self) -> ExtractorIdentity:
        """Which network this is, and how it is fed."""
        return identity_of(I3D_K400, "logits", CLASSES, f"{SQUASH224}, [-1, 1]", "canonical")

    @cached_property
    def _network(self) -> I3D:
        return I3D(load_tensors(I3D_K400, self._weights)).to(self._device)

    def features(self, video: Video, name: str = "video") -> Features:
        """The features [400] of a video [T, H, W, 3], in fp32 without TF32 or autocast.

        Args:
            video: at least `min_frames` frames, of any size.
            name: names the video in an error.

        Raises:
            DataError: it is too short, or not uint8 [T, H, W, 3].
            MissingDependencyError: the weights were not fetched yet.
        """
        self._check(video, name)
        with torch.inference_mode(), _exact_fp32(self._device):
            logits = self._network(squash224(video).to(self._device))[0]
        return np.asarray(logits.cpu().numpy(), np.float64)

    def cached(self, digest: str, load: Callable[[], Video], name: str = "") -> Features:
        """As `features`, of the video that `load` gives; a video of this digest is loaded and computed only once.

        Args:
            digest: sha256 (hex) of what makes the video, so that another video never has it.
            load: reads the video.
            name: names the video in an error, by default its digest.
        """
        path = self._path(digest)
        found = self._read(path, digest)
        if found is None:
            found = self.features(load(), name or digest)
            self._write(path, digest, found)
        return found

    def _check(self, video: Video, name: str) -> None:
        if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3:
            got = f"{video.dtype} {list(video.shape)}"
            raise DataError(f"{name}: not a video", expected="uint8 [T, H, W, 3]", got=got)
        if len(video) < self.min_frames:
            raise DataError(
                f"{name}: too short for {self.identity.id}",
                expected=f"at least {self.min_frames} frames",
                got=f"{len(video)}",
                fix="use longer clips, or leave the metrics of this network out",
            )

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"digest {digest!r} is not hexadecimal")
        return self._cache / self.identity.fingerprint[:16] / f"{digest}.safetensors"

    def _read(self, path: Path, digest: str) -> Features | None:
        if not path.exists():
            return None
        try:
            with safe_open(path, "np") as file:
                stored: Features = file.get_tensor("features")
                entry = (file.metadata() or {}).get("entry")
        except (OSError, SafetensorError) as error:
            self._say(f"{path} is damaged and computed again: {error}")
            return None
        if stored.shape != (self.identity.dims,) or entry != self._entry(digest, stored):
            self._say(f"{path} is damaged and computed again: it does not hold what it says")
            return None
        return stored

    def _write(self, path: Path, digest: str, features: Features) -> None:
        with atomic_file(path) as file:
            file.write(save({"features": features}, metadata={"entry": self._entry(digest, features)}))

    def _entry(self, digest: str, features: Features) -> str:
        """What a cache entry says of itself; the sum tells a flipped bit."""
        checksum = sha256(features.tobytes()).hexdigest()
        return canonical_json({"extractor": self.identity.fingerprint, "video": digest, "sha256": checksum})


@contextlib.contextmanager
def _exact_fp32(device: str) -> Iterator[None]:
    kind = torch.device(device).type
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.autocast(kind, enabled=False), exact:
        yield
