"""How WorldRec is trained: its tasks, network and objective in the shared loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from worldmodel.training.follow import Follow
from worldmodel.training.loop import History, TrainingModule, adamw, train
from worldmodel.worldrec.config import TrainConfig, WorldRecConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.objective import objective
from worldmodel.worldrec.tasks import training_task
from worldmodel.worldrec.validation import validate
from worldmodel.worldrec.views import ClipTensors, Views

Batch = tuple[Views, Views]


@dataclass(frozen=True)
class TrainingData:
    """Clips in memory: `train` holds only frames that training may read, `validation` may be empty."""

    train: Sequence[ClipTensors]
    validation: Sequence[ClipTensors] = ()


@dataclass
class Result:
    """The trained model and its curve: a list of {"step", ...} records, the same on every run."""

    model: WorldRec
    history: History = field(default_factory=list)


def fit(
    model_config: WorldRecConfig, config: TrainConfig, data: TrainingData, seed: int, resume_dir: Path, follow: Follow
) -> Result:
    """Trains for `config.steps` steps, going on from `resume_dir` if it holds a state.

    Raises:
        Preempted: `should_stop` said so; the state is saved.
    """
    torch.manual_seed(seed)
    module = WorldRecModule(WorldRec(model_config), config, data, seed)
    train(module, resume_dir, follow)
    return Result(module.model, module.history)


class WorldRecModule(TrainingModule[Batch]):
    """Model, objective and optimiser, for the shared loop."""

    def __init__(self, model: WorldRec, config: TrainConfig, data: TrainingData, seed: int) -> None:
        super().__init__(config)
        self.model, self.settings, self.data, self.seed = model, config, data, seed

    def batch(self, index: int) -> Batch:
        return training_task(self.data.train, self.settings, self.seed, index).load(self.data.train)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch[0].to(device), batch[1].to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        context, target = batch
        scene = self.model(context.images_only())
        rendered = scene.render(target.cameras, target.times_s)
        parts = objective(scene, rendered, context, target, self.settings.loss)
        self.parts = {name: part.detach() for name, part in parts.items()}
        return torch.stack(list(parts.values())).sum()

    def optimizers_at_start(self) -> list[torch.optim.Optimizer]:
        return [adamw(self.model, self.config)]

    def validation_values(self) -> dict[str, float]:
        return validate(self.model, self.data.validation, self.settings)
