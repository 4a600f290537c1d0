"""Fréchet and kernel distances of generated clips to reference clips of other logs, on features of videos.

Every method is measured on the same clips against the same reference, so their numbers compare; numbers at another n do
not (a Fréchet distance of few clips is mostly bias: read it beside the true frames' own, the floor). The given first
frame is left out.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.extractors.identity import ExtractorIdentity
from evaluation.generation.rollouts import RolloutMethod, Rollouts, RolloutSample, Video, videos_of
from evaluation.generation_report import TOKENIZER, TRUE_FRAMES
from evaluation.metrics.catalogue import FVD, FVD_TOK, KVD, KVD_TOK, MetricSpec
from evaluation.metrics.distance_intervals import Distance, LogRows
from evaluation.metrics.distances import frechet, kernel_distance

RAW, TOK = (FVD, KVD), (FVD_TOK, KVD_TOK)
Matrix = NDArray[np.float64]


class Features(Protocol):
    """A network that turns a video uint8 [T, H, W, 3] into one feature vector, and remembers it by digest."""

    @property
    def identity(self) -> ExtractorIdentity: ...

    def cached(self, digest: str, load: Callable[[], Video], name: str = "") -> Matrix: ...


@dataclass(frozen=True)
class Pair:
    """What one method's distance is of: its clips and the reference clips."""

    made: LogRows
    reference: LogRows


def pairs_by_metric(
    rollouts: Rollouts,
    methods: Sequence[RolloutMethod],
    generated: Sequence[RolloutSample],
    reference: Sequence[RolloutSample],
    features: Features,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Pair]]:
    """For every metric id, the features behind each method's distance; the floors come first.

    The true frames have no `-tok` distance of their own: after the tokenizer they are the method `tokenizer`.
    """
    reader = _Reader(rollouts, features, tick)
    raw, tok = reader.true(reference), reader.made(TOKENIZER, reference)
    decoded = reader.made(TOKENIZER, generated)
    made_raw = {TRUE_FRAMES: reader.true(generated), TOKENIZER: decoded}
    made_tok = {TOKENIZER: decoded}
    for method in methods:
        folder, decoded_folder = videos_of(method.name)
        made_raw[method.name] = reader.made(folder, generated)
        same = folder == decoded_folder
        made_tok[method.name] = made_raw[method.name] if same else reader.made(decoded_folder, generated)
    found: dict[str, dict[str, Pair]] = {}
    for specs, made, other in ((TOK, made_tok, tok), (RAW, made_raw, raw)):
        for spec in specs:
            found[spec.id] = {name: Pair(clips, other) for name, clips in made.items()}
    return found


def passes(methods: Sequence[RolloutMethod], n_generated: int, n_reference: int) -> int:
    """How many clips `pairs_by_metric` looks at, for progress."""
    folders = {folder for method in methods for folder in videos_of(method.name)}
    return (len(folders) + 2) * n_generated + 2 * n_reference


def distance_of(spec: MetricSpec) -> Distance:
    """The function behind a distance's id."""
    return frechet if spec in (FVD, FVD_TOK) else kernel_distance


@dataclass(frozen=True)
class _Reader:
    rollouts: Rollouts
    features: Features
    tick: Callable[[], None]

    def true(self, samples: Iterable[RolloutSample]) -> LogRows:
        """Features of recorded frames; those in the cache are not read again."""
        found = [(self._true(sample), sample.log_id) for sample in samples]
        return _stack(found)

    def made(self, method: str, samples: Iterable[RolloutSample]) -> LogRows:
        found = [(self._made(method, sample), sample.log_id) for sample in samples]
        return _stack(found)

    def _true(self, sample: RolloutSample) -> Matrix:
        self.tick()
        return self.features.cached(
            self.rollouts.true_digest(sample), lambda: self.rollouts.true(sample)[1:], sample.sample_id
        )

    def _made(self, method: str, sample: RolloutSample) -> Matrix:
        self.tick()
        video = self.rollouts.made(method, sample)[1:]
        return self.features.cached(_content(video), lambda: video, f"{method} {sample.sample_id}")


def _content(video: Video) -> str:
    return hashlib.sha256(repr(video.shape).encode() + np.ascontiguousarray(video).tobytes()).hexdigest()


def _stack(found: list[tuple[Matrix, str]]) -> LogRows:
    return LogRows(np.stack([values for values, _ in found]), tuple(log for _, log in found))
