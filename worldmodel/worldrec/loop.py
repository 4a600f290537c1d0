"""The training loop: a thin LightningModule, resumable at any step with bit-identical weights.

Every step's task is a pure function of (seed, step) and the network draws no random numbers, so a training state is the
weights, the optimiser's state and the step. Lightning's own checkpoints are pickles and are not used.
"""

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from worldmodel.errors import Preempted
from worldmodel.worldrec.config import TrainConfig, WorldRecConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.objective import objective
from worldmodel.worldrec.resume import load_state, save_state
from worldmodel.worldrec.tasks import training_task
from worldmodel.worldrec.validation import validate
from worldmodel.worldrec.views import ClipTensors, Views

Batch = tuple[Views, Views]


@dataclass(frozen=True)
class Follow:
    """How the caller follows and ends a run.

    Attributes:
        progress: told (steps done, steps in all) after each step.
        metrics: told (step, values) now and then.
        say: a line for the log.
        should_stop: asked after each step; True saves and raises Preempted.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    metrics: Callable[[int, dict[str, float]], None] = lambda step, values: None
    say: Callable[[str], None] = lambda text: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class TrainingData:
    """Clips in memory: `train` holds only frames that training may read, `validation` may be empty."""

    train: Sequence[ClipTensors]
    validation: Sequence[ClipTensors] = ()


@dataclass
class Result:
    """The trained model and its curve: a list of {"step", ...} records, the same on every run."""

    model: WorldRec
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    model_config: WorldRecConfig, config: TrainConfig, data: TrainingData, seed: int, resume_dir: Path, follow: Follow
) -> Result:
    """Trains for `config.steps` steps, going on from `resume_dir` if it holds a state.

    Raises:
        Preempted: `should_stop` said so; the state is saved.
    """
    torch.manual_seed(seed)
    module = WorldRecModule(WorldRec(model_config), config, data, seed)
    state = load_state(resume_dir, follow.say)
    if state is not None:
        module.load_training_state(state)
        follow.say(f"going on from step {module.start}")
    keeper = _Keeper(module, resume_dir, follow)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_steps=config.steps - module.start,
        accelerator=config.accelerator,
        strategy=config.strategy,
        devices=config.devices,
        precision=config.precision,
        gradient_clip_val=config.clip_norm,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if module.start < config.steps:
        try:
            _quietly_fit(trainer, module)
        except SIGTERMException as stop:
            keeper.save()
            raise Preempted(f"stopped after step {keeper.done}") from stop
    return Result(module.model, module.history)


def loss_change(history: Sequence[dict[str, float]]) -> tuple[float, float]:
    """Mean loss over the first and over the last tenth of the records."""
    losses = [record["loss"] for record in history]
    part = max(1, len(losses) // 10)
    return sum(losses[:part]) / part, sum(losses[-part:]) / part


def _quietly_fit(trainer: pl.Trainer, module: "WorldRecModule") -> None:
    """Without Lightning's advice (the loader has no workers on purpose) and its use of a deprecated torch call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated.*")
        trainer.fit(module)


class _Tasks(Dataset[Batch]):
    """Item i is the batch of step i (on rank r of w: of task i * w + r)."""

    def __init__(self, data: TrainingData, config: TrainConfig, seed: int, rank: int, world: int) -> None:
        self.clips, self.config, self.seed, self.rank, self.world = data.train, config, seed, rank, world

    def __getitem__(self, step: int) -> Batch:
        task = training_task(self.clips, self.config, self.seed, step * self.world + self.rank)
        return task.load(self.clips)


class WorldRecModule(pl.LightningModule):
    """Model, objective and optimiser, for Lightning.

    Attributes:
        start: steps done before this process.
        history: the records so far.
        parts: the last step's loss, by part.
    """

    def __init__(self, model: WorldRec, config: TrainConfig, data: TrainingData, seed: int) -> None:
        super().__init__()
        self.model, self.config, self.data, self.seed = model, config, data, seed
        self.start = 0
        self.history: list[dict[str, float]] = []
        self.parts: dict[str, Tensor] = {}
        self._optimizer_state: dict[str, Any] | None = None

    def train_dataloader(self) -> DataLoader[Batch]:
        tasks = _Tasks(self.data, self.config, self.seed, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(tasks, batch_size=None, sampler=range(self.start, self.config.steps))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch[0].to(device), batch[1].to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        context, target = batch
        scene = self.model(context.images_only())
        rendered = scene.render(target.cameras, target.times_s)
        parts = objective(scene, rendered, context, target, self.config.loss)
        self.parts = {name: part.detach() for name, part in parts.items()}
        return torch.stack(list(parts.values())).sum()

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = torch.optim.AdamW(
            self.model.parameters(), config.lr, betas=config.betas, weight_decay=config.weight_decay, foreach=True
        )
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_share(config, self.start + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def load_training_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.start, self.history = state["step"], state["history"]
        self._optimizer_state = state["optimizer"]

    def training_state(self, step: int) -> dict[str, Any]:
        (optimizer,) = self.trainer.optimizers
        return {
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "history": self.history,
        }


def lr_share(config: TrainConfig, step: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine down to `final_lr_share`."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    done = (step - config.warmup) / (config.steps - config.warmup)
    return config.final_lr_share + (1 - config.final_lr_share) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class _Keeper(pl.Callback):
    """After each step: records, validation, resume state, and the question whether to stop."""

    def __init__(self, module: WorldRecModule, resume_dir: Path, follow: Follow) -> None:
        self.module, self.resume_dir, self.follow = module, resume_dir, follow
        self.done = module.start

    def on_train_batch_end(self, *_: Any) -> None:
        config = self.module.config
        self.done += 1
        if self._due(config.log_every) or self._due(config.validate_every):
            self._record()
        self.follow.progress(self.done, config.steps)
        stop = self.follow.should_stop()
        if stop or (self.done % config.checkpoint_every == 0 and self.done < config.steps):
            self.save()
        if stop:
            raise Preempted(f"stopped after step {self.done}")

    def _due(self, every: int) -> bool:
        return self.done % every == 0 or self.done == self.module.config.steps

    def save(self) -> None:
        state = self.module.training_state(self.done)
        if self.module.trainer.is_global_zero:
            save_state(self.resume_dir, self.done, state)

    def _record(self) -> None:
        config = self.module.config
        parts = {name: round(float(part), 6) for name, part in self.module.parts.items()}
        values = {"loss": round(sum(parts.values()), 6), **parts, "lr": config.lr * lr_share(config, self.done - 1)}
        if self._due(config.validate_every):
            values |= validate(self.module.model, self.module.data.validation, config)
        self.module.history.append({"step": self.done, **values})
        self.follow.metrics(self.done, values)
