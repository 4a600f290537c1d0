"""The evaluation report: what was measured, on which data, under which protocol, of which model.

The file format is versioned (`worldmodel.report/3`); readers refuse any other. Numbers are finite or null: a metric
that came out NaN is recorded with `value: null` and the problem in words, and what could not be measured at all is
listed in `not_applicable` with its reason. A report that contradicts itself (a mean that is not the mean of its clips,
a count that is not the count) does not parse. Standard library and pydantic only, so that a gate runs anywhere.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from evaluation.base import Direction, Interval, Record, close, fingerprint
from evaluation.extractors.identity import ExtractorIdentity
from evaluation.generation_report import GenerationGroup, GenerationProtocol
from evaluation.protocols import Preset
from evaluation.slice_value import SliceValue as SliceValue

REPORT_SCHEMA: Literal["worldmodel.report/3"] = "worldmodel.report/3"
NEAREST = "nearest_context"
ORACLE = "oracle_reprojection"


class Baseline(Record):
    """A baseline's value on the same images, and the paired difference model - baseline, in the metric's unit."""

    value: float
    difference: float
    difference_ci95: Interval | None


class ClipFacts(Record):
    """A measured clip: its content, and the slice that it is in by dimension (one that is not known is left out).

    `sha256` is the manifest's, which covers the clip's name as well; `pixels_sha256` is of its images alone, so that
    one recording under two names is known for what it is. Dimensions are `weather`, `light`, `region`, `speed`, `turn`
    and `dynamic`; `camera` and `source` stand elsewhere.
    """

    clip_id: str
    log_id: str
    source: str
    split: str
    same_log: bool
    sha256: str
    pixels_sha256: str
    slices: dict[str, str] = Field(default_factory=dict)


class ClipValue(Record):
    """A metric of one clip: the mean over its images, null when any of them came out NaN.

    `by_camera` are the means over the images of one camera; empty where the value is null.
    """

    clip_id: str
    log_id: str
    n_images: int = Field(ge=1)
    value: float | None
    baselines: dict[str, float] = Field(default_factory=dict)
    by_camera: dict[str, float] = Field(default_factory=dict)


class Metric(Record):
    """One metric over one region of the images of a group: mean over images, then over clips.

    `gap_closed` is (model - nearest) / (oracle - nearest), null without an oracle or where that is no better.
    """

    id: str
    region: str
    unit: str
    direction: Direction
    value: float | None
    problem: str | None = None
    n_images: int
    n_clips: int
    n_logs: int
    ci95: Interval | None
    no_interval: str | None = None
    baselines: dict[str, Baseline] = Field(default_factory=dict)
    gap_closed: float | None = None
    per_clip: tuple[ClipValue, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        clips, name = self.per_clip, f"{self.id}[{self.region}]"
        counts = (sum(c.n_images for c in clips), len({c.clip_id for c in clips}), len({c.log_id for c in clips}))
        if counts != (self.n_images, self.n_clips, self.n_logs) or self.n_clips != len(clips):
            raise ValueError(f"{name}: n_images, n_clips, n_logs are not those of per_clip {counts}")
        values = [c.value for c in clips if c.value is not None]
        if (self.value is None) == (self.problem is None) or (self.value is None) != (len(values) < len(clips)):
            raise ValueError(f"{name}: a null value needs a problem and a null clip, and the other way round")
        if self.value is not None and not close(self.value, sum(value / len(values) for value in values)):
            raise ValueError(f"{name}: value {self.value} is not the mean of its clips")
        for key, baseline in self.baselines.items():
            if self.value is None or not close(self.value, baseline.value + baseline.difference):
                raise ValueError(f"{name}: difference to {key} is not value - baseline")
        return self


class Group(Record):
    """Clips of one source and split. `same_log`: training saw other frames of these logs, so no log is held out."""

    source: str
    split: str
    same_log: bool
    n_clips: int
    n_logs: int
    metrics: tuple[Metric, ...]
    slices: tuple[SliceValue, ...] = ()
    beats_baseline: bool | None
    sentence: str

    @model_validator(mode="after")
    def _distinct_metrics(self) -> Self:
        keys = [(m.id, m.region) for m in self.metrics]
        if len(set(keys)) < len(keys):
            raise ValueError(f"group {self.source}/{self.split}: a metric appears twice")
        slices = [(s.slice, s.metric, s.method) for s in self.slices]
        if len(set(slices)) < len(slices) or any(self.metric(metric) is None for _, metric, _ in slices):
            raise ValueError(
                f"group {self.source}/{self.split}: a slice appears twice, or of a metric that is not there"
            )
        return self

    def metric(self, metric_id: str, region: str = "all") -> Metric | None:
        """The metric of this id and region, or None when the group does not have it."""
        return next((m for m in self.metrics if (m.id, m.region) == (metric_id, region)), None)


class ModelIdentity(Record):
    """The model that was measured; `sha256` is the digest it is registered by, `parts` are the digests of its weights.

    A model without a part (data without poses train no WorldRec) lacks its name among them.
    """

    name: str
    sha256: str
    parts: dict[str, str] = Field(default_factory=dict)


class SourceFacts(Record):
    """What the prepared data hold of one source, measured or not: clips and logs by split."""

    name: str
    clips: dict[str, int]
    logs: dict[str, int]


class DataIdentity(Record):
    """`sha256` covers id, content digest and frames of every clip that was measured or measured against."""

    sha256: str
    sources: tuple[SourceFacts, ...]


class SourceProtocol(Record):
    """How the clips of one source look to the metrics."""

    cameras: tuple[str, ...]
    n_frames: tuple[int, ...]
    resolutions: tuple[str, ...]


class Protocol(Record):
    """Everything that must be equal before two reports' numbers may be compared.

    `preset` is what was asked for; the rest is what was found. `context_stride` is null where nothing was
    reconstructed, `generation` where nothing was generated.
    """

    preset: Preset
    context_stride: int | None
    targets: Literal["every frame that is not context"] = "every frame that is not context"
    aggregation: Literal["image, clip, mean over clips"] = "image, clip, mean over clips"
    metrics_version: int
    sources: dict[str, SourceProtocol]
    extractors: tuple[ExtractorIdentity, ...] = ()
    generation: GenerationProtocol | None = None


class Statistics(Record):
    """How the intervals were made: of means over clips, and of distances between sets of clips."""

    method: Literal["cluster bootstrap over logs, percentile 95 %, widened to Student's t"] = (
        "cluster bootstrap over logs, percentile 95 %, widened to Student's t"
    )
    distances: Literal[
        "delete-one-log jackknife (above 32 logs: 32 groups) over generated and reference logs, Student's t"
    ] = "delete-one-log jackknife (above 32 logs: 32 groups) over generated and reference logs, Student's t"
    resamples: int
    seed: int


class Training(Record):
    """Whether training did what training should: mean loss of the first and the last tenth of the logged steps."""

    steps: int
    loss_first_tenth: float | None
    loss_last_tenth: float | None
    loss_fell: bool
    sentence: str


class NotApplicable(Record):
    """Something that could not be measured, and why; of which stage's output and which source, where it is of one."""

    what: str
    reason: str
    stage: str | None = None
    source: str | None = None


class Report(Record):
    """One evaluation of one model: `groups` of reconstructed clips and `generation` of generated ones.

    `training` is WorldRec's, `generation_training` that of the stages behind it by name. `beats_baseline` is about
    reconstruction.
    """

    schema_version: Literal["worldmodel.report/3"] = REPORT_SCHEMA
    model: ModelIdentity
    data: DataIdentity
    protocol: Protocol
    protocol_fingerprint: str
    statistics: Statistics
    clips: tuple[ClipFacts, ...] = ()
    groups: tuple[Group, ...]
    generation: tuple[GenerationGroup, ...] = ()
    training: Training | None
    generation_training: dict[str, Training] = Field(default_factory=dict)
    beats_baseline: bool | None
    summary: str
    not_applicable: tuple[NotApplicable, ...] = ()

    @model_validator(mode="after")
    def _identity(self) -> Self:
        if self.protocol_fingerprint != fingerprint(self.protocol):
            raise ValueError("protocol_fingerprint is not the fingerprint of protocol")
        for what, found in (
            ("clip", [c.clip_id for c in self.clips]),
            ("content", [c.pixels_sha256 for c in self.clips]),
        ):
            if len(set(found)) < len(found):
                raise ValueError(f"clips: a {what} appears twice")
        for name, groups in (("groups", self.groups), ("generation", self.generation)):
            keys = [(g.source, g.split, g.same_log) for g in groups]
            if len(set(keys)) < len(keys):
                raise ValueError(f"{name}: a (source, split, same_log) appears twice")
        return self

    @model_validator(mode="after")
    def _known_clips(self) -> Self:
        """Where clips are named, every value of a group is of one of them."""
        known = {(c.clip_id, c.log_id, c.source, c.split, c.same_log) for c in self.clips}
        for group in self.groups if known else ():
            place = (group.source, group.split, group.same_log)
            strange = {
                c.clip_id for m in group.metrics for c in m.per_clip if (c.clip_id, c.log_id, *place) not in known
            }
            if strange:
                raise ValueError(f"group {group.source}/{group.split}: values of clips that the report does not name")
        return self

    def group(self, source: str, split: str, same_log: bool = False) -> Group | None:
        """The group of these clips, or None when none of them was measured."""
        wanted = (source, split, same_log)
        return next((g for g in self.groups if (g.source, g.split, g.same_log) == wanted), None)

    def generated(self, source: str, split: str, same_log: bool = False) -> GenerationGroup | None:
        """The group of what was generated from these clips, or None when none was."""
        wanted = (source, split, same_log)
        return next((g for g in self.generation if (g.source, g.split, g.same_log) == wanted), None)
