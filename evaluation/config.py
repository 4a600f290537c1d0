"""The `evaluate` section of `params.yaml`. Pydantic only: read by processes that never import numpy."""

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all config here: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EvaluateConfig(Section):
    """How reports and their pictures are made; which frames are measured is decided by `reconstruct` and `rollout`.

    Attributes:
        protocol: name of a preset of `evaluation.protocols`: what is measured, and how.
        bootstrap_resamples: draws for each 95 % interval.
        slice_min_clips: below this many clips a slice says too little to be judged.
        overview_samples: clips in each overview picture, evenly from the worst to the best.
        picture_width_px: about how wide the pictures are; small renders are enlarged by a whole factor.
        preview_fps: speed of the animated preview.
        video_scale: whole factor by which sample videos are enlarged.
    """

    protocol: str = "tiny"
    bootstrap_resamples: int = Field(default=2000, ge=100, le=100_000)
    slice_min_clips: int = Field(default=4, ge=1)
    overview_samples: int = Field(default=3, ge=1, le=12)
    picture_width_px: int = Field(default=1860, ge=600, le=6000)
    preview_fps: int = Field(default=5, ge=1, le=30)
    video_scale: int = Field(default=3, ge=1, le=16)
