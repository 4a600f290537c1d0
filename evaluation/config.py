"""The `evaluate` and `gate` sections of `params.yaml`. Pydantic only: read by processes that never import numpy."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_PSNR = "video/psnr"


class Section(BaseModel):
    """Base of all config here: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GenerationConfig(Section):
    """How generated videos are measured; which are generated is decided by `rollout`.

    Attributes:
        min_logs: fewest logs of generated, and of reference clips, for which FVD and KVD are measured; with fewer the
            report has PSNR alone and says why.
        video_scale: whole factor by which the sample videos are enlarged.
    """

    min_logs: int = Field(default=8, ge=4)
    video_scale: int = Field(default=3, ge=1, le=16)


class EvaluateConfig(Section):
    """How reports and their pictures are made; which frames are measured is decided by `reconstruct` and `rollout`.

    Attributes:
        bootstrap_resamples: draws for each 95 % interval.
        overview_samples: clips in each overview picture, evenly from the worst to the best.
        picture_width_px: about how wide the pictures are; small renders are enlarged by a whole factor.
        preview_fps: speed of the animated preview.
        generation: of generated videos.
    """

    bootstrap_resamples: int = Field(default=2000, ge=100, le=100_000)
    overview_samples: int = Field(default=3, ge=1, le=12)
    picture_width_px: int = Field(default=1860, ge=600, le=6000)
    preview_fps: int = Field(default=5, ge=1, le=30)
    generation: GenerationConfig = GenerationConfig()


class Limit(Section):
    """What every limit names: a metric of a region, on one source or (source: null) on every source of the data."""

    source: str | None = None
    metric: str
    region: str = "all"


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
    """How much better than a baseline, in the metric's unit and better direction, the mean over clips must be."""

    baseline: str = "nearest_context"
    margin: float = Field(ge=0)


class ChampionMargin(Limit):
    """How much worse than the champion, in the metric's unit, is tolerated.

    With `method` the metric is of that method's generated videos. Use raw distances here: a `-tok` metric of a model
    with another tokenizer is not comparable, and such a rule then does not pass.
    """

    max_drop: float = Field(ge=0)
    method: str | None = None


class GenerationLimit(Section):
    """What generated videos must show: a value within one bound, or a margin over another method on the same clips.

    Never gate on PSNR alone: blur has the best PSNR and the worst distance (an undistilled model cut to four steps
    shows it), so a limit on `video/psnr` is refused unless a distance of the same source and method is limited too.

    Attributes:
        source: of the clips; null: every source of the data.
        method: whose videos, e.g. `dmd`.
        metric: its id, e.g. `video/kvd-tok@i3d-k400`.
        better_than: a method that it must beat: by `margin` in the metric's unit, with an interval that leaves out
            zero.
        min, max: the one bound of the value itself, where `better_than` is null.
    """

    source: str | None = None
    method: str = "dmd"
    metric: str
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


class GateLimits(Section):
    """What a model must show before it may serve. Each list needs an entry: an empty gate would let anything through.

    Attributes:
        split: the split whose groups are judged; frames of logs that training saw are never held out.
        allow_dirty: whether a model made from uncommitted changes may be promoted.
        generation: on generated videos; empty: they are not judged.
    """

    split: Literal["val", "test"] = "test"
    allow_dirty: bool = True
    absolute: tuple[AbsoluteLimit, ...] = Field(min_length=1)
    over_baseline: tuple[BaselineMargin, ...] = Field(min_length=1)
    against_champion: tuple[ChampionMargin, ...] = Field(min_length=1)
    generation: tuple[GenerationLimit, ...] = ()

    @model_validator(mode="after")
    def _no_doubles(self) -> Self:
        keys: dict[str, list[tuple[object, ...]]] = {
            "absolute": [(k.source, k.metric, k.region, k.min is None) for k in self.absolute],
            "over_baseline": [(k.source, k.metric, k.region, k.baseline) for k in self.over_baseline],
            "against_champion": [(k.source, k.metric, k.region, k.method) for k in self.against_champion],
            "generation": [(k.source, k.method, k.metric, k.better_than, k.min is None) for k in self.generation],
        }
        for name, found in keys.items():
            if len(set(found)) < len(found):
                raise ValueError(f"{name}: two limits on the same source, metric and region or method")
        return self

    @model_validator(mode="after")
    def _not_psnr_alone(self) -> Self:
        limited = {(k.source, k.method) for k in self.generation if k.metric != _PSNR}
        for limit in self.generation:
            if not {(limit.source, limit.method), (None, limit.method)} & limited:
                raise ValueError(f"generation: {_PSNR} of {limit.method} is no limit without one on a distance")
        return self
