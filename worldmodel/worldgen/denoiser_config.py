"""Sizes of the denoiser, and what the latents fix. Light to import: no torch here."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

Rate = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DropRates(Frozen):
    """How often a clip is trained without a condition; the first frame is always given."""

    layout: Rate = 0.1
    prior: Rate = 0.15
    ego: Rate = 0.1
    tags: Rate = 0.1


class LatentSpec(Frozen):
    """What the data and the tokenizer decide.

    Attributes:
        channels: of a latent, C.
        grid: height and width of a latent frame, h and w.
        stride: pixels per latent cell; the layout images are (h * stride) x (w * stride).
        vocabulary: number of known tags; tag tokens are 0 (unknown) to `vocabulary`.
    """

    channels: PositiveInt = 16
    grid: tuple[PositiveInt, PositiveInt] = (8, 12)
    stride: PositiveInt = 8
    vocabulary: NonNegativeInt = 0

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self.grid[0] * self.stride, self.grid[1] * self.stride


class DenoiserConfig(Frozen):
    """The network, in the shape of Wan2.1's transformer. The defaults are the tiny size.

    Attributes:
        width: features of a token, D.
        heads: attention heads; each has width / heads features.
        ffn: hidden units of the feed-forward layers.
        layers: transformer blocks.
        patch: latent cells per token in each direction.
        frequencies: features of the sinusoidal sigma embedding.
        text_width: features of a tag before its projection to D.
        layout_channels: channels that the layout images become on the latent grid.
        chunk: latent frames denoised together; the first latent frame is a chunk of its own.
        window: latent frames that causal attention spans: the first chunk, which is never evicted, the newest chunks
            before, and the own chunk.
        prediction: what the last layer says: the velocity, or the clean latent. Callers get the velocity in any case.
        checkpointing: recomputes the blocks in the backward pass, to save memory.
        pretrained: directory or file of published Wan2.1 text-to-video weights (diffusers' names), or None.
    """

    width: PositiveInt = 128
    heads: PositiveInt = 4
    ffn: PositiveInt = 512
    layers: PositiveInt = 4
    patch: PositiveInt = 2
    frequencies: PositiveInt = 64
    text_width: PositiveInt = 32
    layout_channels: PositiveInt = 16
    chunk: PositiveInt = 1
    window: PositiveInt = 5
    prediction: Literal["v", "x0"] = "v"
    checkpointing: bool = False
    pretrained: Path | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads or self.width // self.heads < 6 or self.width // self.heads % 2:
            raise ValueError(
                f"width {self.width} over {self.heads} heads: each needs an even number of features, 6 or more"
            )
        if self.frequencies % 2:
            raise ValueError(f"frequencies {self.frequencies} must be even: sines and cosines")
        if self.window < 1 + self.chunk:
            raise ValueError(f"window {self.window} must hold the first latent frame and a chunk of {self.chunk}")
        return self

    def fitted(self, latents: LatentSpec) -> "FittedDenoiserConfig":
        """What a Denoiser is made of. Leaves `pretrained` out: where weights came from is no part of a network.

        Raises:
            ValueError: the latent grid is no multiple of `patch`.
        """
        return FittedDenoiserConfig(**self.model_dump(exclude={"pretrained"}), latents=latents)


class FittedDenoiserConfig(DenoiserConfig):
    """A network for the latents of one tokenizer."""

    latents: LatentSpec

    @model_validator(mode="after")
    def _grid_fits(self) -> Self:
        if any(side % self.patch for side in self.latents.grid):
            raise ValueError(f"latent grid {self.latents.grid} is not a multiple of patch {self.patch}")
        return self

    @property
    def token_grid(self) -> tuple[int, int]:
        """Tokens of a latent frame, down and across."""
        return self.latents.grid[0] // self.patch, self.latents.grid[1] // self.patch

    @property
    def tokens(self) -> int:
        """Tokens of a latent frame."""
        return self.token_grid[0] * self.token_grid[1]
