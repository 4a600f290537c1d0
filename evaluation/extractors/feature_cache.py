"""Features on disk, found by the extractor's identity, `METRICS_VERSION`, and the digest of what they are of."""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evaluation.base import canonical_json, fingerprint
from evaluation.extractors.identity import ExtractorIdentity
from evaluation.metrics.catalogue import METRICS_VERSION
from worldmodel.data.atomic import atomic_file

Matrix = NDArray[np.float64]

_DIGEST = re.compile(r"[0-9a-f]{16,128}")


class FeatureCache:
    """The features [..., dims] of one extractor; a change of its identity, or of what computes it, finds none of them.

    Args:
        directory: keeps the features of all extractors.
        identity: of this one.
        say: takes a sentence when an entry turns out to be damaged.
    """

    def __init__(self, directory: Path, identity: ExtractorIdentity, say: Callable[[str], None]) -> None:
        self._directory = directory / fingerprint([METRICS_VERSION, identity.fingerprint])[:16]
        self._identity, self._say = identity, say

    def get(self, digest: str, compute: Callable[[], Matrix]) -> Matrix:
        """The features of what has this digest (hex), computed if they are not kept yet, or are damaged."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"digest {digest!r} is not hexadecimal")
        path = self._directory / f"{digest}.safetensors"
        found = self._read(path, digest)
        if found is None:
            found = compute()
            with atomic_file(path) as file:
                file.write(save({"features": found}, metadata={"entry": self._entry(digest, found)}))
        return found

    def _read(self, path: Path, digest: str) -> Matrix | None:
        if not path.exists():
            return None
        try:
            with safe_open(path, "np") as file:
                stored: Matrix = file.get_tensor("features")
                entry = (file.metadata() or {}).get("entry")
        except (OSError, SafetensorError) as error:
            self._say(f"{path} is damaged and computed again: {error}")
            return None
        if stored.shape[-1:] != (self._identity.dims,) or entry != self._entry(digest, stored):
            self._say(f"{path} is damaged and computed again: it does not hold what it says")
            return None
        return stored

    def _entry(self, digest: str, features: Matrix) -> str:
        """What an entry says of itself; the sum tells a flipped bit."""
        facts = {"extractor": self._identity.fingerprint, "of": digest, "shape": list(features.shape)}
        return canonical_json({**facts, "sha256": sha256(features.tobytes()).hexdigest()})
