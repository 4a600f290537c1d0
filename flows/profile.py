"""A whole params file, checked before anything starts: every section against its stage's config, and across them.

`params.yaml` is the profile `tiny`; `profiles/` holds the others.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluation.config import EvaluateConfig, GateLimits
from flows.checks.config import ValidateConfig
from flows.params import PARAMS_FILE, check, read_params
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
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig
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

    @model_validator(mode="after")
    def _one_protocol(self) -> Self:
        strides = {
            "prepare.context_stride": self.prepare.context_stride,
            "train_worldrec.train.context_stride": self.train_worldrec.train.context_stride,
            "reconstruct.context_stride": self.reconstruct.context_stride,
        }
        if len(set(strides.values())) > 1:
            raise ValueError(f"the context stride must be the same everywhere, not {strides}")
        return self


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
