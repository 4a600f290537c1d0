"""The `train_tokenizer` section of params.yaml: the codec, and which windows become samples. No torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from worldmodel.training.config import LoopConfig

TEMPORAL_STRIDE = 4

Codecs = Literal["linear", "wan"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _require_whole(name: str, frames: int) -> None:
    if frames % TEMPORAL_STRIDE != 1:
        raise ValueError(f"{name} {frames} must be 1 + {TEMPORAL_STRIDE}k: the first frame alone, then groups of 4")


class LinearConfig(Frozen):
    """The closed-form codec.

    Attributes:
        channels: principal components kept, of a patch of the first frame and of a patch of four frames alike.
        whitening: 1 gives every channel the same variance; 0 leaves fine detail as faint as it is in pictures, so that
            it is the last that noise lets through; latents have unit variance on average in any case.
        spatial_stride: side of a patch, in pixels.
        temporal_stride: frames that a latent frame after the first covers.
    """

    channels: PositiveInt = 12
    whitening: float = Field(default=0.5, ge=0, le=1)
    spatial_stride: PositiveInt = 8
    temporal_stride: Literal[4] = 4

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.spatial_stride % 2:
            raise ValueError(f"spatial_stride {self.spatial_stride} must be even: patches overlap by half")
        if self.channels > 3 * self.spatial_stride**2:
            raise ValueError(f"channels {self.channels}: a patch has only {3 * self.spatial_stride**2} values")
        return self


class WanArchitecture(Frozen):
    """diffusers' AutoencoderKLWan, by its own names; the defaults are Wan2.1's published size.

    Attributes:
        base_dim: features at full resolution.
        decoder_base_dim: those of the decoder; None = the same.
        z_dim: channels of a latent.
        dim_mult: features at each resolution, times base_dim; the image is halved between two of them.
        num_res_blocks: residual blocks per resolution.
        attn_scales: scales with attention beside the middle's.
        temperal_downsample: which halvings also halve the time: two of them.
        is_residual: the residual blocks of Wan2.2.
        patch_size: pixels folded into channels first, as in Wan2.2; None = 1.
    """

    base_dim: PositiveInt = 96
    decoder_base_dim: PositiveInt | None = None
    z_dim: PositiveInt = 16
    dim_mult: tuple[PositiveInt, ...] = (1, 2, 4, 4)
    num_res_blocks: PositiveInt = 2
    attn_scales: tuple[float, ...] = ()
    temperal_downsample: tuple[bool, ...] = (False, True, True)
    is_residual: bool = False
    patch_size: PositiveInt | None = None

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent cell, down and across."""
        return (self.patch_size or 1) << (len(self.dim_mult) - 1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.temperal_downsample) != len(self.dim_mult) - 1:
            raise ValueError(f"temperal_downsample needs {len(self.dim_mult) - 1} entries, one between two dim_mult")
        if sum(self.temperal_downsample) != 2:
            raise ValueError(f"temperal_downsample must halve the time twice: stride {TEMPORAL_STRIDE}")
        return self


class WanTrainConfig(LoopConfig):
    """Training from scratch: L1 + kl_weight * KL, first on single frames, then on windows.

    Attributes:
        image_share: share of the steps, at the start, that see single frames alone.
        frames: of a training window, 1 + 4k.
        batch, image_batch: windows, or single frames, per step.
        kl_weight: of the KL divergence to a standard normal, per value of the video.
    """

    steps: PositiveInt = 2000
    lr: PositiveFloat = 2e-3
    image_share: float = Field(default=0.3, ge=0, le=1)
    frames: PositiveInt = 9
    batch: PositiveInt = 1
    image_batch: PositiveInt = 8
    kl_weight: NonNegativeFloat = 1e-4

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _require_whole("wan.train.frames", self.frames)
        return self


class WanConfig(Frozen):
    """The learned codec.

    Attributes:
        architecture: of a codec trained here; a pretrained one brings its own.
        pretrained: directory of a published AutoencoderKLWan in diffusers' layout, which is used as it is; None trains.
        train: how.
        statistics_samples: training windows that the latents' mean and deviation are measured on.
    """

    architecture: WanArchitecture = WanArchitecture()
    pretrained: Path | None = None
    train: WanTrainConfig = WanTrainConfig()
    statistics_samples: PositiveInt = 64


class PretrainedCodec(Frozen):
    """A tokenizer that an earlier `train_tokenizer` made, used as it is.

    Attributes:
        folder: holds its tokenizer.safetensors and config.json; relative to the workspace.
        sha256: of tokenizer.safetensors: DVC sees this text, and not what is in the folder.
        vocabulary: tag values that the generator behind it knows, each `key=value`; None: those of the training clips.
    """

    folder: Path
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    vocabulary: tuple[str, ...] | None = None


class TrainTokenizerConfig(Frozen):
    """What `train_tokenizer` fits and encodes.

    Attributes:
        codec: `linear` is fitted in closed form in seconds; `wan` is a causal video autoencoder.
        linear, wan: their sizes.
        pretrained: takes the place of fitting or training; it must be a codec of the kind named.
        frames: of a sample, 1 + 4k.
        rate_hz: of a sample; a clip's own rate must be a multiple of it.
        window_stride: frames, at rate_hz, between the starts of a training clip's windows. Other splits give the first.
        cameras: source -> the cameras of its training clips that become samples; all where it is not named.
        eval_cameras: the same for the other splits.
        tag_keys: tags that condition the generator.
        accelerator: where the codec runs: `cpu`, `cuda`, ...
    """

    codec: Codecs = "linear"
    linear: LinearConfig = LinearConfig()
    wan: WanConfig = WanConfig()
    pretrained: PretrainedCodec | None = None
    frames: PositiveInt = 17
    rate_hz: PositiveFloat = 10.0
    window_stride: PositiveInt = 3
    cameras: Mapping[str, tuple[str, ...]] = {}
    eval_cameras: Mapping[str, tuple[str, ...]] = {}
    tag_keys: tuple[str, ...] = ("weather", "time_of_day")
    accelerator: str = "cpu"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _require_whole("frames", self.frames)
        if self.frames == 1:
            raise ValueError("frames 1: a sample needs a frame to predict, so 5 or more")
        if self.codec == "wan" and self.wan.train.frames > self.frames:
            raise ValueError(f"wan.train.frames {self.wan.train.frames} is more than the {self.frames} of a sample")
        if self.pretrained is not None and self.codec == "wan" and self.wan.pretrained is not None:
            raise ValueError("pretrained and wan.pretrained: give one of them")
        return self
