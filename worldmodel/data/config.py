"""The `prepare` section of params.yaml."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from worldmodel.data.synthetic.config import SyntheticConfig


class SplitFractions(BaseModel):
    """Shares of each source's logs; they add up to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: PositiveFloat = 0.8
    val: float = Field(default=0.1, ge=0)
    test: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test must add up to 1, not {total:g}")
        return self


class PrepareConfig(BaseModel):
    """What `prepare` makes of logs.

    Attributes:
        height, width: pixels of every stored image; recorded images are scaled to cover this and cut at their centre.
        clip_frames: recorded logs are cut evenly into the fewest clips of at most this many frames.
        rate_hz: recorded logs faster than this are thinned by a whole factor; a rate that is no multiple is kept, and
            said in not_included.json.
        licences: source name to licence, for recorded sources that carry no LICENSE file.
        split: shares of a source's logs.
        pinned_splits: log id to split, for logs whose split is given (an official one); shares rule the others.
        same_log: a source with a single log cannot be split by log. `hold_out_targets` trains on the context frames of
            its clips and keeps the target frames for measuring; `leave_out` uses none of it, and says so.
        context_stride: of the protocol that tells context from target frames; the stages that measure must use the
            same, or they would measure on frames that were trained on.
        card_clips: held-out synthetic clips that the difficulty card is measured on; 0 = no card.
        clips_per_shard: at most; a shard never mixes splits.
        workers: processes; the output does not depend on them.
        on_broken_log: `quarantine` names it in not_included.json and goes on, `fail` stops the stage.
        synthetic: the embedded procedural source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: PositiveInt = 64
    width: PositiveInt = 96
    clip_frames: int = Field(default=20, ge=2)
    rate_hz: PositiveFloat = 10.0
    licences: dict[str, str] = {}
    split: SplitFractions = SplitFractions()
    pinned_splits: dict[str, Literal["train", "val", "test"]] = {}
    same_log: Literal["hold_out_targets", "leave_out"] = "hold_out_targets"
    context_stride: int = Field(default=5, ge=2)
    card_clips: NonNegativeInt = 4
    clips_per_shard: PositiveInt = 16
    workers: PositiveInt = 2
    on_broken_log: Literal["quarantine", "fail"] = "quarantine"
    synthetic: SyntheticConfig = SyntheticConfig()

    @model_validator(mode="after")
    def _one_image_size(self) -> Self:
        size, synthetic = (self.height, self.width), (self.synthetic.height, self.synthetic.width)
        if size != synthetic:
            raise ValueError(f"synthetic.height and .width must be those of all images, {size}, not {synthetic}")
        return self
