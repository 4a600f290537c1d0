"""The `gate` section of `params.yaml`: what a model must show before it may serve. Pydantic only."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from evaluation.config import Section
from evaluation.protocols import PRESETS, Preset

_PSNR = "video/psnr"
Judge = Literal["value", "interval"]
Measure = Literal["seconds_per_frame", "seconds_per_clip", "gaussians_per_clip", "peak_memory_mib"]


class Limit(Section):
    """What every limit names: a metric, on one source or (source: null) on every source of the data.

    Attributes:
        source: of the clips.
        metric: its id.
        region: of the images; videos have only `all`.
        method: whose generated videos; null: the metric is of reconstruction.
    """

    source: str | None = None
    metric: str
    region: str = "all"
    method: str | None = None

    @model_validator(mode="after")
    def _videos_are_whole(self) -> Self:
        if self.method is not None and self.region != "all":
            raise ValueError(f"limit on {self.metric} of {self.method}: videos have no region {self.region}")
        return self

    @property
    def what(self) -> str:
        """The metric in words: whose, which, where."""
        whose = "" if self.method is None else f"{self.method}/"
        return whose + (self.metric if self.region == "all" else f"{self.metric}[{self.region}]")


class AbsoluteLimit(Limit):
    """The value itself must be at least `min`, or at most `max`, in the metric's unit."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError(f"limit on {self.metric}: give either min or max")
        return self


class BaselineMargin(Limit):
    """How much better than a baseline, in the metric's unit and better direction, the mean over clips must be.

    The 95 % interval of the difference must leave out zero as well.
    """

    baseline: str = "nearest_context"
    margin: float = Field(ge=0)


class ChampionMargin(Limit):
    """How much worse than the champion, in the metric's unit, is tolerated; read from the paired comparison.

    Use raw distances here: a `-tok` metric of a model with another tokenizer is not compared, and does not pass.

    Attributes:
        max_drop: the most that may be lost.
        judge: `value`: the difference keeps within `max_drop`. `interval`: all of its 95 % interval does, which few
            clips cannot show.
    """

    max_drop: float = Field(ge=0)
    judge: Judge = "value"


class SliceLimit(Limit):
    """A bound, or a margin against the champion, on the clips of a slice alone.

    Attributes:
        slice: `light=night`, or a whole dimension, `light`: each of its values that `min_clips` clips or more have.
        min_clips: a slice of fewer clips does not pass; of a dimension, it is not asked about.
        min, max: the one bound of the value, where `max_drop` is null.
        max_drop, judge: as in `ChampionMargin`, with intervals corrected for the number of slices.
    """

    slice: str = Field(pattern=r"^[a-z_]+(=.+)?$")
    min_clips: int = Field(default=4, ge=1)
    min: float | None = None
    max: float | None = None
    max_drop: float | None = Field(default=None, ge=0)
    judge: Judge = "value"

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if sum(bound is not None for bound in (self.min, self.max, self.max_drop)) != 1:
            raise ValueError(f"limit on {self.slice} {self.metric}: give one of min, max and max_drop")
        if self.region != "all":
            raise ValueError(f"limit on {self.slice} {self.metric}: slices are of whole images, not of {self.region}")
        return self


class GenerationLimit(Limit):
    """What generated videos must show: a value within one bound, or a margin over another method on the same clips.

    Attributes:
        better_than: a method that it must beat: by `margin` in the metric's unit, with an interval that leaves out
            zero.
        min, max: the one bound of the value itself, where `better_than` is null.
    """

    method: str = "dmd"
    better_than: Literal["repeat_last_frame", "teacher_forcing_4step"] | None = None
    margin: float = Field(default=0.0, ge=0)
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if sum(bound is not None for bound in (self.better_than, self.min, self.max)) != 1:
            raise ValueError(f"limit on {self.method} {self.metric}: give one of better_than, min and max")
        if self.margin and self.better_than is None:
            raise ValueError(f"limit on {self.method} {self.metric}: a margin is over better_than")
        return self


class Budget(Section):
    """The most that the model may take: a field of the measured performance, in the unit of its name."""

    measure: Measure
    max: float = Field(gt=0)


class GateLimits(Section):
    """What a model must show before it may serve. An empty gate would let anything through, so the lists need entries.

    Never gate on PSNR of videos alone: blur has the best PSNR and the worst distance (an undistilled model cut to four
    steps shows it), so a limit on `video/psnr` is refused unless another metric of the same videos is limited too.

    Attributes:
        protocol: name of the preset that the report must be under; its split is judged, and training logs never.
        allow_dirty: whether a model made from uncommitted changes may be promoted.
        stages: their outputs must be what their manifests say.
        budgets: of speed and memory.
        generation: on generated videos; empty: they are not judged.
        slices: what must hold on parts of the clips; empty: only their mean counts.
    """

    protocol: str
    allow_dirty: bool = True
    stages: tuple[str, ...] = Field(default=("prepare", "validate", "reconstruct", "rollout", "evaluate"), min_length=1)
    budgets: tuple[Budget, ...] = Field(min_length=1)
    absolute: tuple[AbsoluteLimit, ...] = Field(min_length=1)
    over_baseline: tuple[BaselineMargin, ...] = Field(min_length=1)
    against_champion: tuple[ChampionMargin, ...] = Field(min_length=1)
    generation: tuple[GenerationLimit, ...] = ()
    slices: tuple[SliceLimit, ...] = ()

    @field_validator("protocol")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PRESETS:
            raise ValueError(f"no such preset; there are {', '.join(PRESETS)}")
        return name

    @model_validator(mode="after")
    def _no_doubles(self) -> Self:
        keys: dict[str, list[tuple[object, ...]]] = {
            "budgets": [(k.measure,) for k in self.budgets],
            "absolute": [(*_place(k), k.min is None) for k in self.absolute],
            "over_baseline": [(*_place(k), k.baseline) for k in self.over_baseline],
            "against_champion": [_place(k) for k in self.against_champion],
            "generation": [(*_place(k), k.better_than, k.min is None) for k in self.generation],
            "slices": [(*_place(k), k.slice, k.min is None, k.max is None) for k in self.slices],
        }
        for name, found in keys.items():
            if len(set(found)) < len(found):
                raise ValueError(f"{name}: two limits on the same source, metric and region or method")
        return self

    @model_validator(mode="after")
    def _not_psnr_alone(self) -> Self:
        of_videos = [k for k in (*self.absolute, *self.over_baseline, *self.generation) if k.method is not None]
        limited = {(k.source, k.method) for k in of_videos if k.metric != _PSNR}
        for limit in of_videos:
            if not {(limit.source, limit.method), (None, limit.method)} & limited:
                raise ValueError(f"generation: {_PSNR} of {limit.method} is no limit without one on a distance")
        return self

    @property
    def preset(self) -> Preset:
        """The protocol that the report must be under."""
        return PRESETS[self.protocol]

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit on a metric."""
        return (*self.absolute, *self.over_baseline, *self.generation, *self.against_champion, *self.slices)


def _place(limit: Limit) -> tuple[object, ...]:
    return limit.source, limit.metric, limit.region, limit.method
