"""A whole params file, checked before anything starts: every section against its stage's config, and across them.

`params.yaml` is the profile `tiny`; `profiles/` holds the others.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluation.config import EvaluateConfig
from evaluation.gate_config import GateLimits
from evaluation.protocols import preset
from flows.checks.config import ValidateConfig
from flows.params import PARAMS_FILE, check, read_params
from flows.promotion.policy import PromotionPolicy
from worldmodel.data.config import PrepareConfig
from worldmodel.errors import ParamsError
from worldmodel.joint.config import RenderPriorsConfig
from worldmodel.worldgen.config import (
    BidirectionalConfig,
    DmdConfig,
    OdeDistillationConfig,
    OdePairsConfig,
    RolloutConfig,
    TeacherForcingConfig,
)
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE, TrainTokenizerConfig
from worldmodel.worldrec.config import ReconstructConfig, TrainWorldRecConfig

DEFAULT_PROFILE = "tiny"


class RegisterConfig(BaseModel):
    """Where models go.

    Attributes:
        model: name in the MLflow registry; one a profile, because models are champion among their like.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")


class Profile(BaseModel):
    """The mirror of `params.yaml`: `seed`, `threads`, a section a stage, and the gate's limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    prepare: PrepareConfig
    validate_: ValidateConfig = Field(alias="validate")
    train_worldrec: TrainWorldRecConfig
    reconstruct: ReconstructConfig
    render_priors: RenderPriorsConfig
    train_tokenizer: TrainTokenizerConfig
    worldgen_bidirectional: BidirectionalConfig
    worldgen_teacher_forcing: TeacherForcingConfig
    worldgen_ode_pairs: OdePairsConfig
    worldgen_ode_distillation: OdeDistillationConfig
    worldgen_dmd: DmdConfig
    rollout: RolloutConfig
    evaluate: EvaluateConfig
    gate: GateLimits
    register_: RegisterConfig = Field(alias="register")
    promotion: PromotionPolicy

    @model_validator(mode="after")
    def _one_protocol(self) -> Self:
        strides = {
            "prepare.context_stride": self.prepare.context_stride,
            "train_worldrec.train.context_stride": self.train_worldrec.train.context_stride,
            "reconstruct.context_stride": self.reconstruct.context_stride,
        }
        protocol = preset(self.evaluate.protocol)
        if protocol.reconstruction is not None:
            strides[f"evaluate.protocol {protocol.name}"] = protocol.reconstruction.context_stride
        if len(set(strides.values())) > 1:
            raise ValueError(f"the context stride must be the same everywhere, not {strides}")
        return self

    @model_validator(mode="after")
    def _gate_can_judge(self) -> Self:
        if self.gate.protocol != self.evaluate.protocol:
            raise ValueError(
                f"gate.protocol {self.gate.protocol} must be evaluate.protocol {self.evaluate.protocol}: reports of "
                "another protocol never pass"
            )
        fewest = self.evaluate.slice_min_clips
        for limit in self.gate.slices:
            if limit.max_drop is not None and limit.min_clips < fewest:
                raise ValueError(
                    f"gate.slices {limit.slice}: min_clips {limit.min_clips} must be evaluate.slice_min_clips {fewest} "
                    "or more: smaller slices are not compared with the champion's"
                )
        return self

    @model_validator(mode="after")
    def _videos_can_be_measured(self) -> Self:
        asked, tokenizer = preset(self.evaluate.protocol), self.train_tokenizer
        if asked.generation is None:
            return self
        if tokenizer.rate_hz != asked.generation.rate_hz:
            raise ValueError(
                f"train_tokenizer.rate_hz {tokenizer.rate_hz:g} must be that of evaluate.protocol {asked.name}: "
                f"{asked.generation.rate_hz:g}"
            )
        fewest = asked.generation.window + (0 if asked.generation.given_counts else 1)
        if tokenizer.frames < fewest:
            raise ValueError(
                f"train_tokenizer.frames {tokenizer.frames} must be {fewest} or more: evaluate.protocol {asked.name} "
                f"measures {asked.generation.window} frames"
            )
        return self

    @model_validator(mode="after")
    def _worldgen_fits(self) -> Self:
        _check_image_size(self.prepare, self.train_tokenizer, self.worldgen_bidirectional)
        _check_windows(self.prepare, self.render_priors, self.train_tokenizer)
        _check_latent_frames(self.train_tokenizer.frames, self.worldgen_bidirectional)
        _check_levels(self.worldgen_ode_pairs, self.worldgen_bidirectional)
        return self


def _check_image_size(prepare: PrepareConfig, tokenizer: TrainTokenizerConfig, worldgen: BidirectionalConfig) -> None:
    """A pretrained codec brings its own stride: `train_tokenizer` and the network check that one."""
    if tokenizer.pretrained is not None or (tokenizer.codec == "wan" and tokenizer.wan.pretrained is not None):
        return
    linear = tokenizer.codec == "linear"
    stride = tokenizer.linear.spatial_stride if linear else tokenizer.wan.architecture.spatial_stride
    key = "train_tokenizer." + ("linear.spatial_stride" if linear else "wan.architecture")
    patch = worldgen.model.patch
    for name, side in (("height", prepare.height), ("width", prepare.width)):
        if side % (stride * patch):
            raise ValueError(
                f"prepare.{name} {side} must be a multiple of {stride * patch}: "
                f"{stride} ({key}) x {patch} (worldgen_bidirectional.model.patch)"
            )


def _check_windows(prepare: PrepareConfig, priors: RenderPriorsConfig, tokenizer: TrainTokenizerConfig) -> None:
    steps = []
    for name, rate in (("prepare.rate_hz", prepare.rate_hz), ("prepare.synthetic.rate_hz", prepare.synthetic.rate_hz)):
        ratio = rate / tokenizer.rate_hz
        steps.append(round(ratio))
        if steps[-1] < 1 or abs(ratio - steps[-1]) > 1e-6 * ratio:
            raise ValueError(f"{name} {rate:g} must be a multiple of train_tokenizer.rate_hz {tokenizer.rate_hz:g}")
    recorded, synthetic = (1 + (tokenizer.frames - 1) * step for step in steps)
    asks = f"train_tokenizer.frames {tokenizer.frames} at rate_hz {tokenizer.rate_hz:g}"
    if prepare.synthetic.frames < synthetic:
        raise ValueError(
            f"prepare.synthetic.frames {prepare.synthetic.frames} must be {synthetic} or more: "
            f"{asks} would get no synthetic sample"
        )
    longest = max(recorded, synthetic)
    if priors.max_frames is not None and priors.max_frames < longest:
        raise ValueError(
            f"render_priors.max_frames {priors.max_frames} must be {longest} or more, or null: {asks} need a prior each"
        )


def _check_latent_frames(frames: int, worldgen: BidirectionalConfig) -> None:
    after_first, model = (frames - 1) // TEMPORAL_STRIDE, worldgen.model
    told = f"train_tokenizer.frames {frames}, 1 + {after_first} latent frames,"
    if after_first % model.chunk:
        raise ValueError(
            f"{told} must be 1 + a multiple of worldgen_bidirectional.model.chunk {model.chunk} latent frames"
        )
    if model.window > 1 + after_first:
        raise ValueError(
            f"{told} must fill worldgen_bidirectional.model.window {model.window}: "
            f"training would never see a window as long"
        )


def _check_levels(pairs: OdePairsConfig, worldgen: BidirectionalConfig) -> None:
    places = worldgen.noise.places(pairs.steps)
    if any(abs(place - round(place)) > 1e-9 for place in places):
        raise ValueError(
            f"worldgen_ode_pairs.steps {pairs.steps} must pass through all of worldgen_bidirectional.noise.few_steps "
            f"{worldgen.noise.few_steps}: (1 - u) * steps is {places}"
        )


def profile_path(checkout: Path, name: str) -> Path:
    """The params file of a profile.

    Raises:
        ParamsError: there is no such profile.
    """
    if name == DEFAULT_PROFILE:
        return checkout / PARAMS_FILE
    path = checkout / "profiles" / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ParamsError(
            f"--profile {name}: no such profile", expected=" or ".join([DEFAULT_PROFILE, *known]), got=name
        )
    return path


def read_profile(path: Path) -> Profile:
    """A checked params file.

    Raises:
        ParamsError: names every wrong key.
    """
    return check(Profile, read_params(path), str(path))
