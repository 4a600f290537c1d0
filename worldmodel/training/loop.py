"""The training loop: a thin LightningModule, resumable at any step with bit-identical weights.

What a step sees and draws is a pure function of (seed, step), so a training state is the networks, their optimisers'
states and the step. Lightning's own checkpoints are pickles and are not used.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from worldmodel.errors import Preempted, StageError
from worldmodel.training.config import LoopConfig
from worldmodel.training.follow import Follow
from worldmodel.training.resume import load_state, save_state
from worldmodel.training.schedule import lr_share

History = list[dict[str, float]]
Batch = TypeVar("Batch")


class TrainingModule(pl.LightningModule, Generic[Batch]):
    """Networks, objective and optimisers, for Lightning; its submodules are what a resume state holds.

    A frozen network that only judges goes into a list, where it is no submodule and not saved again and again.

    Attributes:
        start: steps done before this process.
        history: the records so far.
        parts: the last step's losses, by part.
    """

    def __init__(self, config: LoopConfig) -> None:
        super().__init__()
        self.config = config
        self.start = 0
        self.history: History = []
        self.parts: dict[str, Tensor] = {}
        self._optimizer_states: list[dict[str, Any]] = []

    def batch(self, index: int) -> Batch:
        """What task `index` (the step, or step * world + rank) sees: a pure function of seed and index."""
        raise NotImplementedError

    def optimizers_at_start(self) -> list[torch.optim.Optimizer]:
        """Fresh optimisers at their peak learning rates."""
        raise NotImplementedError

    def validation_values(self) -> dict[str, float]:
        """A quick look at held-out data; empty without any."""
        return {}

    def after_step(self, done: int) -> None:
        """Called after optimiser step `done` and before anything is saved: where averages move."""

    def record(self) -> dict[str, float]:
        """The last step's losses for the history: `loss` is their sum."""
        parts = {name: round(float(part), 6) for name, part in self.parts.items()}
        return {"loss": round(sum(parts.values()), 6), **parts}

    def train_dataloader(self) -> DataLoader[Batch]:
        tasks = _Tasks(self, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(tasks, batch_size=None, sampler=range(self.start, self.config.steps))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        optimizers = self.optimizers_at_start()
        for optimizer, state in zip(optimizers, self._optimizer_states, strict=bool(self._optimizer_states)):
            optimizer.load_state_dict(state)
        return optimizers

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        share = lr_share(self.config, self.start + batch_idx)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * share

    def load_training_state(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state["networks"])
        self.start, self.history, self.parts = state["step"], state["history"], state["parts"]
        self._optimizer_states = state["optimizers"]

    def training_state(self, step: int) -> dict[str, Any]:
        optimizers = [optimizer.state_dict() for optimizer in self.trainer.optimizers]
        return {
            "networks": self.state_dict(),
            "optimizers": optimizers,
            "step": step,
            "history": self.history,
            "parts": self.parts,
        }


def adamw(network: nn.Module, config: LoopConfig, lr: float | None = None) -> torch.optim.AdamW:
    """The optimiser of a network, at `lr` or else the config's."""
    rate = config.lr if lr is None else lr
    return torch.optim.AdamW(
        network.parameters(), rate, betas=config.betas, weight_decay=config.weight_decay, foreach=True
    )


def train(module: TrainingModule[Any], resume_dir: Path, follow: Follow) -> None:
    """Trains for `config.steps` steps in all, going on from `resume_dir` if it holds a state.

    Raises:
        Preempted: `should_stop` said so; the state is saved.
        StageError: a loss or a weight is not finite; no state after that is saved.
    """
    state = load_state(resume_dir, follow.say)
    if state is not None:
        module.load_training_state(state)
        follow.say(f"going on from step {module.start}")
    if module.start >= module.config.steps:
        return
    keeper = _Keeper(module, resume_dir, follow)
    try:
        _quietly_fit(_trainer(module, keeper), module)
    except SIGTERMException as stop:
        keeper.save()
        raise Preempted(f"stopped after step {keeper.done}") from stop


def loss_change(history: Sequence[dict[str, float]]) -> tuple[float, float]:
    """Mean loss over the first and over the last tenth of the records."""
    losses = [record["loss"] for record in history]
    part = max(1, len(losses) // 10)
    return sum(losses[:part]) / part, sum(losses[-part:]) / part


def _trainer(module: TrainingModule[Any], keeper: "_Keeper") -> pl.Trainer:
    """One epoch over the steps that are left (with two optimisers Lightning would count steps twice)."""
    config = module.config
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return pl.Trainer(
        max_epochs=1,
        accelerator=config.accelerator,
        strategy=config.strategy,
        devices=config.devices,
        precision=config.precision,
        gradient_clip_val=config.clip_norm if module.automatic_optimization else None,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _quietly_fit(trainer: pl.Trainer, module: TrainingModule[Any]) -> None:
    """Without Lightning's advice (no workers, averages in eval mode: on purpose) and a deprecated torch call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*module\\(s\\) in eval mode.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated.*")
        trainer.fit(module)


class _Tasks(Dataset[Any]):
    """Item i is the batch of step i (on rank r of w: of task i * w + r)."""

    def __init__(self, module: TrainingModule[Any], rank: int, world: int) -> None:
        self.module, self.rank, self.world = module, rank, world

    def __getitem__(self, step: int) -> Any:
        return self.module.batch(step * self.world + self.rank)


class _Keeper(pl.Callback):
    """After each step: records, validation, resume state, and the question whether to stop."""

    def __init__(self, module: TrainingModule[Any], resume_dir: Path, follow: Follow) -> None:
        self.module, self.resume_dir, self.follow = module, resume_dir, follow
        self.done = module.start

    def on_train_batch_end(self, *_: Any) -> None:
        config = self.module.config
        self.done += 1
        _require_finite(self.module.parts, "losses", self.done)
        self.module.after_step(self.done)
        if self.done == config.steps:
            self._require_weights()
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
        self._require_weights()
        state = self.module.training_state(self.done)
        if self.module.trainer.is_global_zero:
            save_state(self.resume_dir, self.done, state)

    def _require_weights(self) -> None:
        _require_finite(dict(self.module.named_parameters()), "weights", self.done)

    def _record(self) -> None:
        config = self.module.config
        values = self.module.record() | {"lr": config.lr * lr_share(config, self.done - 1)}
        if self._due(config.validate_every):
            values |= self.module.validation_values()
        self.module.history.append({"step": self.done, **values})
        self.follow.metrics(self.done, values)


def _require_finite(values: Mapping[str, Tensor], what: str, step: int) -> None:
    broken = [name for name, value in values.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise StageError(
            f"step {step}: {what} are not finite: training has diverged",
            expected="finite numbers",
            got=", ".join(broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else ""),
            fix="lower lr or clip_norm, or lengthen warmup",
        )
