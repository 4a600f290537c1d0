"""Sizes of WorldRec and how it is trained. Light to import: no torch here."""

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

from worldmodel.training.config import LoopConfig


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LatticeConfig(Frozen):
    """Queries that do not come from a pixel: shells around the rig, for what no evidence point covers.

    Attributes:
        azimuths, pitches, shells: their number; shells are spaced evenly in log distance.
        pitch_deg: lowest and highest.
        near_m, far_m: distance of the first and last shell.
    """

    azimuths: PositiveInt = 16
    pitches: PositiveInt = 3
    shells: PositiveInt = 4
    pitch_deg: tuple[float, float] = (-8.0, 12.0)
    near_m: PositiveFloat = 4.0
    far_m: PositiveFloat = 60.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.near_m < self.far_m or not self.pitch_deg[0] < self.pitch_deg[1]:
            raise ValueError("lattice: near_m must be below far_m, and pitch_deg low before high")
        return self

    def __len__(self) -> int:
        return self.azimuths * self.pitches * self.shells


class WorldRecConfig(Frozen):
    """The network. The defaults are the tiny size.

    Attributes:
        channels: of the backbone at strides 2, 4, 8, ...
        blocks: residual convolutions per stride.
        width: features of a query, D.
        levels: finest pyramid maps that queries look up, from `evidence_stride` up.
        evidence_stride: one evidence point every so many pixels in each direction, in every context image.
        grid: a query carries grid x grid Gaussians, one for each part of its patch.
        lattice: further queries.
        rounds: fusion rounds.
        hypotheses: depths along a query's ray that are compared between views in each round; 0 for none.
        matching: features compared between views.
        groups: feature groups with weights of their own.
        motion_tokens: velocities that Gaussians choose from; 0 for a static scene.
        depth_bins, near_m, far_m: the depth head's range.
        sky_width: hidden units of the sky.
    """

    channels: tuple[PositiveInt, ...] = (24, 40, 64)
    blocks: PositiveInt = 1
    width: PositiveInt = 40
    levels: PositiveInt = 1
    evidence_stride: Literal[2, 4, 8, 16] = 4
    grid: PositiveInt = 4
    lattice: LatticeConfig = LatticeConfig()
    rounds: PositiveInt = 2
    hypotheses: NonNegativeInt = 7
    matching: PositiveInt = 8
    groups: PositiveInt = 1
    motion_tokens: NonNegativeInt = 8
    depth_bins: PositiveInt = 32
    near_m: PositiveFloat = 1.0
    far_m: PositiveFloat = 120.0
    sky_width: PositiveInt = 32

    @model_validator(mode="after")
    def _fits(self) -> Self:
        strides = [2 << index for index in range(len(self.channels))]
        if self.evidence_stride not in strides:
            raise ValueError(f"evidence_stride {self.evidence_stride} is none of the backbone's strides {strides}")
        if self.levels > len(strides) - strides.index(self.evidence_stride):
            raise ValueError(f"levels {self.levels}: the backbone has strides {strides}, and evidence_stride up count")
        if self.width % self.groups:
            raise ValueError(f"width {self.width} is not a multiple of groups {self.groups}")
        if self.near_m >= self.far_m:
            raise ValueError(f"near_m {self.near_m} must be below far_m {self.far_m}")
        if self.evidence_stride % self.grid:
            raise ValueError(f"evidence_stride {self.evidence_stride} is not a multiple of grid {self.grid}")
        return self


class LossConfig(Frozen):
    """Weights of the objective's parts; `l1` of the colours has weight 1."""

    ssim: NonNegativeFloat = 0.2
    depth: NonNegativeFloat = 0.1
    evidence_depth: NonNegativeFloat = 0.1
    sky: NonNegativeFloat = 0.1
    velocity: NonNegativeFloat = 0.005
    lifespan: NonNegativeFloat = 0.002


class TrainConfig(LoopConfig):
    """A training run of WorldRec; a step sees one clip.

    Attributes:
        targets: views to render per step.
        context_stride: the protocol's; other numbers of context frames are seen at a rate of `vary_context`.
        validation_clips: how many clips of the val split are looked at.
        loss: weights of its parts.
    """

    steps: PositiveInt = 800
    lr: PositiveFloat = 4e-3
    targets: PositiveInt = 3
    context_stride: int = Field(default=5, ge=2)
    vary_context: float = Field(default=0.25, ge=0, le=1)
    validation_clips: PositiveInt = 3
    loss: LossConfig = LossConfig()


class TrainWorldRecConfig(Frozen):
    """The `train_worldrec` section of params.yaml."""

    model: WorldRecConfig = WorldRecConfig()
    train: TrainConfig = TrainConfig()


class ReconstructConfig(Frozen):
    """The `reconstruct` section of params.yaml.

    Attributes:
        context_stride: which frames the model sees (`worldmodel.data.protocol`).
        splits: whose clips are reconstructed, beside the same-log ones.
        max_clips: of each split, in manifest order; None for all.
        accelerator: where the model runs and Gaussians are rasterized.
    """

    context_stride: int = Field(default=5, ge=2)
    splits: tuple[Literal["val", "test"], ...] = ("test",)
    max_clips: PositiveInt | None = None
    accelerator: Literal["cpu", "cuda"] = "cpu"
