"""Training that diverges stops at the step where it did, and what diverged is never saved."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worldmodel.errors import StageError
from worldmodel.training.config import LoopConfig
from worldmodel.training.follow import Follow
from worldmodel.training.loop import TrainingModule, adamw, train
from worldmodel.training.resume import load_state

CONFIG = LoopConfig(steps=5, warmup=1, lr=0.1, checkpoint_every=1, log_every=1, validate_every=5)


class Line(TrainingModule[Tensor]):
    """Fits y = w x to zero; `bad` replaces the input of the step with index 3."""

    def __init__(self, bad: float, told: bool = True) -> None:
        super().__init__(CONFIG)
        self.line, self.bad, self.told = nn.Linear(1, 1), bad, told

    def batch(self, index: int) -> Tensor:
        return torch.tensor([[self.bad if index == 3 else 1.0]])

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        loss: Tensor = self.line(batch).square().mean()
        self.parts = {"fit": loss.detach() if self.told else torch.zeros(())}
        return loss

    def optimizers_at_start(self) -> list[torch.optim.Optimizer]:
        return [adamw(self.line, self.config)]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_step(tmp_path: Path, bad: float) -> None:
    with pytest.raises(StageError, match=r"step 4: losses are not finite(.*\n)*.*got: fit"):
        train(Line(bad), tmp_path, Follow())
    state = load_state(tmp_path, pytest.fail)
    assert state is not None and state["step"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in state["networks"].values())


def test_weights_that_are_not_finite_are_not_saved_though_the_loss_was(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"step 4: weights are not finite(.*\n)*.*line\.weight"):
        train(Line(math.nan, told=False), tmp_path, Follow())
    state = load_state(tmp_path, pytest.fail)
    assert state is not None and state["step"] == 3


def test_finite_training_goes_to_its_end(tmp_path: Path) -> None:
    module = Line(1.0)
    train(module, tmp_path, Follow())
    assert [record["step"] for record in module.history] == [1, 2, 3, 4, 5]
