"""The `evaluate` and `gate` sections of `params.yaml`. Pydantic only: read by processes that never import numpy."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """Base of all config here: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EvaluateConfig(Section):
    """How reports and their pictures are made; which frames are measured is decided by `reconstruct`.

    Attributes:
        bootstrap_resamples: draws for each 95 % interval.
        overview_samples: clips in each overview picture, evenly from the worst to the best.
        picture_width_px: about how wide the pictures are; small renders are enlarged by a whole factor.
        preview_fps: speed of the animated preview.
    """

    bootstrap_resamples: int = Field(default=2000, ge=100, le=100_000)
    overview_samples: int = Field(default=3, ge=1, le=12)
    picture_width_px: int = Field(default=1860, ge=600, le=6000)
    preview_fps: int = Field(default=5, ge=1, le=30)


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
    """How much worse than the champion, in the metric's unit, is tolerated."""

    max_drop: float = Field(ge=0)


class GateLimits(Section):
    """What a model must show before it may serve. Each list needs an entry: an empty gate would let anything through.

    Attributes:
        split: the split whose groups are judged; frames of logs that training saw are never held out.
        allow_dirty: whether a model made from uncommitted changes may be promoted.
    """

    split: Literal["val", "test"] = "test"
    allow_dirty: bool = True
    absolute: tuple[AbsoluteLimit, ...] = Field(min_length=1)
    over_baseline: tuple[BaselineMargin, ...] = Field(min_length=1)
    against_champion: tuple[ChampionMargin, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_doubles(self) -> Self:
        lists: dict[str, tuple[Limit, ...]] = {
            "absolute": self.absolute,
            "over_baseline": self.over_baseline,
            "against_champion": self.against_champion,
        }
        for name, limits in lists.items():
            keys = [
                (k.source, k.metric, k.region, getattr(k, "baseline", None), getattr(k, "min", 0) is None)
                for k in limits
            ]
            if len(set(keys)) < len(keys):
                raise ValueError(f"{name}: two limits on the same source, metric and region")
        return self
