"""Looks once at every video of a group: curves against the true frames, and features window by window."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.extractors.identity import ExtractorIdentity
from evaluation.extractors.networks import FeatureNetwork, PerceptualNetwork
from evaluation.generation.curves import Curve
from evaluation.generation.features import Features, FeatureTable, Rows
from evaluation.generation.footage import Footage, made, recorded
from evaluation.generation.psnr import psnr_by_frame
from evaluation.generation.recipes import TOK
from evaluation.generation.rollouts import RolloutMethod, Rollouts, RolloutSample, videos_of
from evaluation.generation.spans import Span, every
from evaluation.generation_report import TOKENIZER, TRUE_FRAMES
from evaluation.metrics.catalogue import VIDEO_METRICS, VIDEO_PSNR, MetricSpec
from worldmodel.errors import DataError

Tables = dict[str, FeatureTable]


@dataclass(frozen=True)
class Lenses:
    """What a group is looked at through.

    Attributes:
        spans: the windows of video features, and of the frames of image features.
        video, images: networks; None: no distance is taken with them.
        image_stride: image features of every so many frames.
        lpips: compares with the true frames; None: not done.
        lpips_stride: every so many frames.
    """

    spans: Sequence[Span] = ()
    video: FeatureNetwork | None = None
    images: FeatureNetwork | None = None
    image_stride: int = 0
    lpips: PerceptualNetwork | None = None
    lpips_stride: int = 1

    @property
    def of_distances(self) -> tuple[ExtractorIdentity | None, ExtractorIdentity | None]:
        """The networks of videos and of images."""
        return self.video.identity if self.video else None, self.images.identity if self.images else None

    @property
    def identities(self) -> tuple[ExtractorIdentity, ...]:
        """Of every network that is looked through."""
        return tuple(lens.identity for lens in (self.video, self.images, self.lpips) if lens is not None)


@dataclass
class Seen:
    """What was seen of a group: curves by metric and method; tables by window and name."""

    curves: dict[MetricSpec, dict[str, list[Curve]]] = field(default_factory=dict)
    tables: list[Tables] = field(default_factory=list)


def look(
    rollouts: Rollouts,
    methods: Sequence[RolloutMethod],
    clips: tuple[Sequence[RolloutSample], Sequence[RolloutSample]],
    lenses: Lenses,
    tick: Callable[[], None] = lambda: None,
) -> Seen:
    """Looks at every video of every clip once.

    Args:
        rollouts: the videos and the clips behind them.
        methods: to look at; floors are looked at as well.
        clips: the generated and the reference clips; the latter count only where features are taken.
        lenses: what to look through.
        tick: called after each video.

    Raises:
        DataError: videos that are missing, damaged or not of these clips; features of another shape than others'.
        MissingDependencyError: a network's weights are not there.
    """
    generated, reference = clips
    names = [TOKENIZER, *(method.name for method in methods)]
    folders = _folders(methods, lenses)
    seen, ours, theirs = Seen(), _Gathered(lenses), _Gathered(lenses)
    for sample in generated:
        truth = recorded(rollouts, sample)
        compare = _against(truth, lenses, rollouts.index.frames)
        for folder in folders:
            video = truth if folder == TRUE_FRAMES else made(rollouts, folder, sample)
            if folder in names:
                for spec, curve in compare(video, sample):
                    seen.curves.setdefault(spec, {}).setdefault(folder, []).append(curve)
            ours.add(folder, sample, video, images=folder == TRUE_FRAMES or folder in names)
            tick()
    if lenses.video is not None:
        for sample in reference:
            theirs.add(TRUE_FRAMES, sample, recorded(rollouts, sample))
            tick()
            theirs.add(TOKENIZER, sample, made(rollouts, TOKENIZER, sample), images=False)
            tick()
    seen.tables = [_tables(place, methods, ours, theirs, lenses) for place in range(len(lenses.spans))]
    return seen


def videos_to_look_at(methods: Sequence[RolloutMethod], lenses: Lenses, n_generated: int, n_reference: int) -> int:
    """How often `look` ticks."""
    return len(_folders(methods, lenses)) * n_generated + (2 * n_reference if lenses.video is not None else 0)


def _folders(methods: Sequence[RolloutMethod], lenses: Lenses) -> list[str]:
    """What there is of a generated clip; the true frames and decoded baselines have nothing but features."""
    if lenses.video is None:
        return [TOKENIZER, *(method.name for method in methods)]
    both = [folder for method in methods for folder in videos_of(method.name)]
    return list(dict.fromkeys([TRUE_FRAMES, TOKENIZER, *both]))


def _against(
    truth: Footage, lenses: Lenses, frames: int
) -> Callable[[Footage, RolloutSample], Iterable[tuple[MetricSpec, Curve]]]:
    """Compares videos with one clip's true frames, whose LPIPS features are computed once."""
    net, compared = lenses.lpips, every(lenses.lpips_stride, 1, frames - 1)
    true_features = None if net is None else net.features(truth.some(compared))

    def compare(video: Footage, sample: RolloutSample) -> Iterable[tuple[MetricSpec, Curve]]:
        yield VIDEO_PSNR, Curve(sample, tuple(range(1, frames)), psnr_by_frame(video.video, truth.video))
        if net is not None:
            distances = net.distances(net.features(video.some(compared)), true_features)
            spec = VIDEO_METRICS[f"video/lpips@{net.identity.id}"]
            yield spec, Curve(sample, compared, np.asarray(distances, np.float64))

    return compare


class _Gathered:
    """Features of clips by window, kind and folder."""

    def __init__(self, lenses: Lenses) -> None:
        self.lenses = lenses
        self.found: dict[tuple[int, str, str], list[Features]] = {}
        self.samples: dict[str, list[RolloutSample]] = {}

    def add(self, folder: str, sample: RolloutSample, video: Footage, images: bool = True) -> None:
        """The features of one video through every lens."""
        self.samples.setdefault(folder, []).append(sample)
        for place, span in enumerate(self.lenses.spans):
            if self.lenses.video is not None:
                self._add(self.lenses.video, (place, "video", folder), video, span.frames)
            frames = span.images(self.lenses.image_stride)
            if self.lenses.images is not None and images and frames:
                self._add(self.lenses.images, (place, "images", folder), video, frames)

    def _add(self, network: FeatureNetwork, key: tuple[int, str, str], video: Footage, frames: tuple[int, ...]) -> None:
        rows = np.atleast_2d(network.cached(video.digest(frames), lambda: video.some(frames), video.name))
        expected = 1 if key[1] == "video" else len(frames)
        if rows.ndim != 2 or len(rows) != expected:
            got = str(list(rows.shape))
            raise DataError(f"features of {video.name}", expected=f"{expected} rows of numbers", got=got)
        self.found.setdefault(key, []).append(rows.astype(np.float32))

    def rows(self, place: int, kind: str, folder: str) -> Features:
        """[N, d]"""
        return np.concatenate(self.found[place, kind, folder])

    def names(self, place: int, kind: str, folder: str) -> Rows:
        """What each of these rows is of."""
        counted = zip(self.samples[folder], self.found[place, kind, folder], strict=True)
        samples = [sample for sample, rows in counted for _ in rows]
        return Rows(tuple(s.sample_id for s in samples), tuple(s.log_id for s in samples))


def _tables(place: int, methods: Sequence[RolloutMethod], ours: _Gathered, theirs: _Gathered, lenses: Lenses) -> Tables:
    """The tables of one window: raw, through the tokenizer, and of images."""
    raw = {name: name for name in (TRUE_FRAMES, TOKENIZER)} | {m.name: videos_of(m.name)[0] for m in methods}
    tok = {TOKENIZER: TOKENIZER} | {m.name: videos_of(m.name)[1] for m in methods}
    found = {}
    if lenses.video is not None:
        name = lenses.video.identity.id
        found[name] = _table((place, "video"), raw, TRUE_FRAMES, ours, theirs)
        found[name + TOK] = _table((place, "video"), tok, TOKENIZER, ours, theirs)
    if lenses.images is not None and (place, "images", TRUE_FRAMES) in ours.found:
        found[lenses.images.identity.id] = _table((place, "images"), raw, TRUE_FRAMES, ours, theirs)
    return found


def _table(
    key: tuple[int, str], folders: Mapping[str, str], reference: str, ours: _Gathered, theirs: _Gathered
) -> FeatureTable:
    return FeatureTable(
        made={name: ours.rows(*key, folder) for name, folder in folders.items()},
        made_rows=ours.names(*key, TOKENIZER),
        reference=theirs.rows(*key, reference),
        reference_rows=theirs.names(*key, reference),
    )
