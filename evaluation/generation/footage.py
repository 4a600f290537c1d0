"""A video that is read when somebody looks at it, and known by a digest of the frames in question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from evaluation.generation.rollouts import Rollouts, RolloutSample, Video


@dataclass(frozen=True)
class Footage:
    """One video.

    Attributes:
        name: for errors.
        read: gives all frames, uint8 [T, H, W, 3].
        known: digest of frames without reading them; None: of their content.
    """

    name: str
    read: Callable[[], Video]
    known: Callable[[Sequence[int]], str] | None = None

    @cached_property
    def video(self) -> Video:
        """All frames, read once."""
        return self.read()

    def some(self, frames: Sequence[int]) -> Video:
        """These frames."""
        return np.ascontiguousarray(self.video[list(frames)])

    def digest(self, frames: Sequence[int]) -> str:
        """sha256 (hex) that only these frames have."""
        if self.known is not None:
            return self.known(frames)
        found = self.some(frames)
        return sha256(repr(found.shape).encode() + found.tobytes()).hexdigest()


def recorded(rollouts: Rollouts, sample: RolloutSample) -> Footage:
    """The true frames of a sample; where their features are known they are not read at all."""
    name = f"true frames of {sample.sample_id}"
    return Footage(name, lambda: rollouts.true(sample), lambda frames: rollouts.true_digest(sample, frames))


def made(rollouts: Rollouts, folder: str, sample: RolloutSample) -> Footage:
    """What lies in this folder for a sample."""
    return Footage(f"{folder} {sample.sample_id}", lambda: rollouts.made(folder, sample))
