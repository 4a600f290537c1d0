"""Configuration of what joins the two models. Light to import: no torch here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from worldmodel.data.manifest import SPLITS, Split


class RenderPriorsConfig(BaseModel):
    """The `render_priors` section of params.yaml.

    Attributes:
        cameras: which cameras of a source's clips are rendered, by name; of a source that is not named, all.
        splits: whose clips.
        max_frames: only so many first frames of a clip; None for all.
        fade: Gaussians fade with the time since they were seen, as WorldRec learned it for context on both sides in
            time. Off, what was seen lasts, and holes are what the camera had not seen.
        accelerator: where the model runs and Gaussians are rasterized.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cameras: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    splits: tuple[Split, ...] = SPLITS
    max_frames: PositiveInt | None = None
    fade: bool = True
    accelerator: Literal["cpu", "cuda"] = "cpu"
