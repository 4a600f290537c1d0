"""How WorldGen is trained, stage by stage, and what is rolled out of it. Light to import: no torch here."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from worldmodel.training.config import LoopConfig
from worldmodel.worldgen.denoiser_config import DenoiserConfig, DropRates, Frozen

Guidance = Annotated[float, Field(ge=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Method = Literal[
    "repeat_last_frame",
    "bidirectional",
    "bidirectional_causal",
    "teacher_forcing",
    "teacher_forcing_4step",
    "ode",
    "dmd",
]


class NoiseConfig(Frozen):
    """Noise levels, for the first stage and all that follow it.

    Attributes:
        shift: s of sigma = s u / (1 + (s - 1) u); above 1 moves levels towards noise.
        few_steps: u of the few-step samplers, falling from 1.
    """

    shift: PositiveFloat = 3.0
    few_steps: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)

    @model_validator(mode="after")
    def _falls(self) -> Self:
        falls = all(a > b for a, b in pairwise(self.few_steps))
        if not self.few_steps or self.few_steps[0] != 1 or not falls or self.few_steps[-1] <= 0:
            raise ValueError(f"few_steps {self.few_steps} must fall from 1 and stay above 0")
        return self

    def places(self, steps: int) -> list[float]:
        """Where the few levels lie among `steps` Euler steps; whole where a step starts at the level."""
        return [(1 - u) * steps for u in self.few_steps]


class GenerativeLoopConfig(LoopConfig):
    """A training run of WorldGen.

    Attributes:
        batch_size: samples per step.
        ema: decay of the moving average of the weights; the average is what is saved.
        drop: how often each condition is left out.
        validation_samples: of the val split, at most.
    """

    lr: PositiveFloat = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    batch_size: PositiveInt = 8
    ema: Decay = 0.995
    drop: DropRates = DropRates()
    validation_samples: PositiveInt = 8


class BidirectionalTraining(GenerativeLoopConfig):
    """Full attention over time and one noise level per clip."""

    steps: PositiveInt = 1200
    lr: PositiveFloat = 3e-3


class TeacherForcingTraining(GenerativeLoopConfig):
    """A noise level per chunk, and the clean past beside it.

    Attributes:
        context_noise: highest level of the noise on that past, drawn anew for each clip; 0 = none.
    """

    steps: PositiveInt = 400
    lr: PositiveFloat = 1e-3
    ema: Decay = 0.99
    context_noise: float = Field(default=0.05, ge=0, le=0.3)


class OdeTraining(GenerativeLoopConfig):
    """Regression onto the ends of the teacher's trajectories; what was left out is what it was for the teacher.

    Attributes:
        same_level: one of the few levels for a whole clip; False draws one for each chunk.
    """

    steps: PositiveInt = 240
    lr: PositiveFloat = 2e-4
    ema: Decay = 0.99
    drop: DropRates = DropRates(layout=0, prior=0, ego=0, tags=0)
    same_level: bool = True

    @model_validator(mode="after")
    def _drops_nothing(self) -> Self:
        if any(self.drop.model_dump().values()):
            raise ValueError("drop must be 0 here: the pairs say what was left out (worldgen_ode_pairs.drop)")
        return self


class DmdTraining(GenerativeLoopConfig):
    """Self-rollout and distribution matching; a step is one update of the fake score.

    Attributes:
        lr, fake_lr: of the generator and of the fake score.
        ratio: steps to one update of the generator.
        guidance: of the real score; 1 = off.
        lowest, highest: noise levels at which the scores are compared.
        regression: weight of the flow loss of the generator on real clips, at the few levels.
    """

    steps: PositiveInt = 320
    lr: PositiveFloat = 5e-5
    fake_lr: PositiveFloat = 1e-4
    betas: tuple[float, float] = (0.0, 0.999)
    ema: Decay = 0.95
    ratio: PositiveInt = 5
    guidance: Guidance = 1.0
    lowest: float = Field(default=0.02, gt=0, lt=1)
    highest: float = Field(default=0.98, gt=0, lt=1)
    regression: NonNegativeFloat = 0.2

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest} must be below highest {self.highest}")
        return self


class BidirectionalConfig(Frozen):
    """The `worldgen_bidirectional` section of params.yaml; later stages get model and noise levels with the weights."""

    model: DenoiserConfig = DenoiserConfig()
    noise: NoiseConfig = NoiseConfig()
    train: BidirectionalTraining = BidirectionalTraining()


class TeacherForcingConfig(Frozen):
    """The `worldgen_teacher_forcing` section of params.yaml."""

    train: TeacherForcingTraining = TeacherForcingTraining()


class OdePairsConfig(Frozen):
    """The `worldgen_ode_pairs` section of params.yaml.

    Attributes:
        pairs: trajectories of the teacher, each of a training sample and a noise of its own.
        steps: of the Euler integration; the few levels must be among them.
        batch_size: trajectories at once, which is also what a killed run repeats at most.
        guidance: of the teacher; 1 = off.
        drop: how often the teacher goes without a condition.
        min_source_share: of the pairs, for each source of data.
        dtype: of the stored states.
        accelerator: where the teacher runs.
    """

    pairs: PositiveInt = 128
    steps: PositiveInt = 24
    batch_size: PositiveInt = 16
    guidance: Guidance = 1.0
    drop: DropRates = DropRates()
    min_source_share: float = Field(default=0.1, ge=0, le=0.5)
    dtype: Literal["float32", "bfloat16"] = "float32"
    accelerator: Literal["cpu", "cuda"] = "cpu"


class OdeDistillationConfig(Frozen):
    """The `worldgen_ode_distillation` section of params.yaml."""

    train: OdeTraining = OdeTraining()


class DmdConfig(Frozen):
    """The `worldgen_dmd` section of params.yaml."""

    train: DmdTraining = DmdTraining()


class RolloutConfig(Frozen):
    """The `rollout` section of params.yaml.

    Attributes:
        methods: what is compared; one whose weights are not there is left out and named.
        steps: of the multi-step samplers (Euler).
        split: of the clips that are continued.
        max_samples: of each source, from as many logs as there are; and as many samples of training logs beside them,
            for the distances.
        spread_seeds: further seeds of the student, to see how far its videos lie apart; 0 = none.
        spread_samples: the first so many generated samples are made with them.
        cameras: for a source, the cameras to use; all of a source that is not named.
        batch_size: samples at once.
        guidance: of all samplers; 1 = off.
        accelerator: where the networks run.
    """

    methods: tuple[Method, ...] = get_args(Method)
    steps: PositiveInt = 20
    split: Literal["val", "test"] = "test"
    max_samples: PositiveInt = 24
    spread_seeds: NonNegativeInt = 3
    spread_samples: PositiveInt = 8
    cameras: Mapping[str, tuple[str, ...]] = {}
    batch_size: PositiveInt = 12
    guidance: Guidance = 1.0
    accelerator: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods: one is named twice in {self.methods}")
        return self
