"""How long and how fast a network is trained. Light to import: no torch here."""

from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)


class LoopConfig(BaseModel):
    """A training run of fixed length.

    Attributes:
        steps: optimiser steps.
        lr: peak learning rate, reached after `warmup` steps; a cosine then takes it down to `final_lr_share` of it.
        betas, weight_decay: of AdamW.
        clip_norm: of the gradient.
        min_source_share: of the steps, for each source of data however few clips it has.
        validate_every, checkpoint_every, log_every: steps between validations, resume states, records of the loss.
        precision, strategy, accelerator, devices: passed to Lightning. Only one CPU process has been run so far: on
            CUDA some gradients are not deterministic, and a sharded strategy needs a resume state of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt
    lr: PositiveFloat
    warmup: NonNegativeInt = 30
    final_lr_share: float = Field(default=0.02, ge=0, le=1)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: NonNegativeFloat = 0.01
    clip_norm: PositiveFloat = 1.0
    min_source_share: float = Field(default=0.1, ge=0, le=0.5)
    validate_every: PositiveInt = 150
    checkpoint_every: PositiveInt = 50
    log_every: PositiveInt = 10
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["cpu", "cuda", "auto"] = "cpu"
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    devices: PositiveInt = 1

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup >= self.steps:
            raise ValueError(f"warmup {self.warmup} must be shorter than steps {self.steps}")
        return self
