"""What a report says of generated videos: every method beside its baselines and floors, on the same clips.

A clip here is one camera over one window of frames; its first frame is given, and left out of every number. Methods are
in pipeline order; `true_frames` and `tokenizer` are floors (what the true frames score, and what they score after the
tokenizer), `repeat_last_frame` is the baseline. `-tok` metrics compare with reference clips that went through the same
tokenizer, which is the fair comparison of methods: blur from the tokenizer costs a Fréchet distance as much as having
no motion. Their repeat-last-frame goes through the tokenizer as well. Standard library and pydantic only.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from evaluation.base import Direction, Interval, Record, close
from evaluation.slice_value import SliceValue

REPEAT, TRUE_FRAMES, TOKENIZER = "repeat_last_frame", "true_frames", "tokenizer"
TEACHER, UNDISTILLED, STUDENT = "teacher_forcing", "teacher_forcing_4step", "dmd"
Role = Literal["method", "baseline", "floor"]


class GenerationProtocol(Record):
    """What was found of generated videos; must be equal before two reports' numbers of them may be compared.

    What was asked for stands in the preset, and the networks in the report's `Protocol.extractors`.

    Attributes:
        measured_frames: of a clip; its first one is given and does not count.
        rate_hz: of the frames.
        reference: what distances are taken to.
    """

    measured_frames: int
    rate_hz: float
    reference: Literal["as many clips of other logs of the source"] = "as many clips of other logs of the source"


class VideoValue(Record):
    """A metric of one generated clip."""

    sample_id: str
    log_id: str
    value: float


class TimeValue(Record):
    """The mean over clips at one frame; `time_s` counts from the given frame."""

    time_s: float = Field(gt=0)
    value: float


class Comparison(Record):
    """Another method on the same clips: the paired difference method - other, in the metric's unit."""

    difference: float
    ci95: Interval | None
    no_interval: str | None = None
    sentence: str

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.ci95 is None) == (self.no_interval is None):
            raise ValueError("a comparison has either an interval or the reason for having none")
        return self


class VideoMetric(Record):
    """One metric of one method.

    A distance (`video/fvd...`, `video/kvd...`, `image/fid...`) is of all clips together to the reference clips, so it
    has no values by clip; others, like `video/psnr`, are means over clips. `at_infinity` is a Fréchet distance without
    its bias, from the line through its values at fewer logs over 1/n, where there are logs enough for one; `n_rows` are
    the generated feature vectors of a distance (videos, or images). Without a value there are no values by clip.
    """

    id: str
    unit: str
    direction: Direction
    value: float | None
    problem: str | None = None
    n_clips: int = Field(ge=1)
    n_logs: int = Field(ge=1)
    n_reference_clips: int = Field(default=0, ge=0)
    n_reference_logs: int = Field(default=0, ge=0)
    ci95: Interval | None
    no_interval: str | None = None
    at_infinity: float | None = None
    n_rows: int | None = None
    against: dict[str, Comparison] = Field(default_factory=dict)
    per_clip: tuple[VideoValue, ...] = ()
    by_time: tuple[TimeValue, ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if (self.value is None) == (self.problem is None):
            raise ValueError(f"{self.id}: a null value needs a problem, and the other way round")
        if (self.ci95 is None) == (self.no_interval is None):
            raise ValueError(f"{self.id}: either an interval or the reason for having none")
        if self.value is None and (self.ci95 is not None or self.against):
            raise ValueError(f"{self.id}: without a value there is no interval and nothing to compare")
        if bool(self.n_reference_clips) == bool(self.per_clip) and (self.n_reference_clips or self.value is not None):
            raise ValueError(f"{self.id}: a metric has either reference clips or values by clip")
        self._check_clips()
        return self

    def _check_clips(self) -> None:
        clips = self.per_clip
        if not clips:
            return
        counts = (len({c.sample_id for c in clips}), len({c.log_id for c in clips}))
        if counts != (self.n_clips, self.n_logs) or len(clips) != self.n_clips:
            raise ValueError(f"{self.id}: n_clips, n_logs are not those of per_clip {counts}")
        means = [sum(c.value / len(clips) for c in clips)]
        if self.by_time:
            means.append(sum(at.value / len(self.by_time) for at in self.by_time))
        if self.value is None or not all(close(self.value, mean) for mean in means):
            raise ValueError(f"{self.id}: value {self.value} is not the mean of its clips, or of its times")


class Window(Record):
    """What a method scores over the frames [first, last] of its videos, counted from the given one (0)."""

    first: int = Field(ge=0)
    last: int = Field(ge=0)
    metrics: tuple[VideoMetric, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"window: first frame {self.first} is after the last {self.last}")
        return self


class MeasuredMethod(Record):
    """What one method scores. `steps` are network evaluations a chunk, null for what is no network.

    Distances in `metrics` are of the protocol's first window, means over clips of all frames; `windows` are the drift
    curve, where videos are long enough for two.
    """

    name: str
    role: Role
    steps: int | None = None
    weights_sha256: str | None = None
    metrics: tuple[VideoMetric, ...]
    windows: tuple[Window, ...] = ()

    def metric(self, metric_id: str) -> VideoMetric | None:
        """The metric of this id, or None when the method does not have it."""
        return next((m for m in self.metrics if m.id == metric_id), None)


class GenerationGroup(Record):
    """Generated clips of one source and split; `no_distances` says why no distance was measured, if none was.

    A metric may be of fewer clips than the group has, where a clip lacks what it needs; a distance, or one by time, is
    of all of them. `slices` are of the leading method and of the baseline.
    """

    source: str
    split: str
    same_log: bool
    n_clips: int = Field(ge=1)
    n_logs: int = Field(ge=1)
    n_reference_clips: int = Field(ge=0)
    n_reference_logs: int = Field(ge=0)
    methods: tuple[MeasuredMethod, ...]
    slices: tuple[SliceValue, ...] = ()
    no_distances: str | None = None
    sentence: str

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [m.name for m in self.methods]
        if len(set(names)) < len(names):
            raise ValueError(f"generation {self.source}/{self.split}: a method appears twice")
        for method in self.methods:
            ids = [metric.id for metric in method.metrics]
            if len(set(ids)) < len(ids):
                raise ValueError(f"{method.name}: a metric appears twice")
            for metric in [*method.metrics, *(metric for window in method.windows for metric in window.metrics)]:
                self._check(method.name, metric)
        return self

    def _check(self, name: str, metric: VideoMetric) -> None:
        where, reference = f"{name} {metric.id}", (self.n_reference_clips, self.n_reference_logs)
        counts, all_clips = (metric.n_clips, metric.n_logs), (self.n_clips, self.n_logs)
        whole = bool(metric.n_reference_clips or metric.by_time)
        if counts != all_clips and (whole or metric.n_clips >= self.n_clips or metric.n_logs > self.n_logs):
            raise ValueError(f"{where}: counts are not those of the group")
        if metric.n_reference_clips and (metric.n_reference_clips, metric.n_reference_logs) != reference:
            raise ValueError(f"{where}: reference counts are not those of the group")
        if metric.n_reference_clips and self.no_distances is not None:
            raise ValueError(f"{where}: a distance, although the group says that none was measured")
        for other, comparison in metric.against.items():
            theirs = self.metric(other, metric.id)
            if theirs is None or theirs.value is None or metric.value is None:
                raise ValueError(f"{where}: compared with {other}, which has no value")
            if not close(metric.value, theirs.value + comparison.difference):
                raise ValueError(f"{where}: difference to {other} is not value - value")

    def method(self, name: str) -> MeasuredMethod | None:
        """The method of this name, or None when it was not measured."""
        return next((m for m in self.methods if m.name == name), None)

    def metric(self, method: str, metric_id: str) -> VideoMetric | None:
        """The metric of a method, or None."""
        found = self.method(method)
        return None if found is None else found.metric(metric_id)
