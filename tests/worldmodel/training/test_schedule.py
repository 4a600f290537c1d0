"""Learning rates and moving averages by hand."""

import pytest
import torch
from torch import nn

from worldmodel.training.config import LoopConfig
from worldmodel.training.schedule import ema_decay, lr_share, update_ema


def test_the_learning_rate_warms_up_and_decays_along_a_cosine() -> None:
    config = LoopConfig(steps=110, lr=1e-3, warmup=10, final_lr_share=0.1)
    assert lr_share(config, 0) == pytest.approx(1 / 11)
    assert lr_share(config, 10) == pytest.approx(1.0)
    assert lr_share(config, 60) == pytest.approx(0.55)
    assert lr_share(config, 110) == pytest.approx(0.1)


def test_the_average_starts_fast_and_ends_at_its_decay() -> None:
    assert ema_decay(0.99, 0) == pytest.approx(0.1)
    assert ema_decay(0.99, 10) == pytest.approx(11 / 20)
    assert ema_decay(0.99, 10_000) == 0.99


def test_the_average_moves_by_one_minus_decay_and_keeps_up_with_buffers() -> None:
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(average.weight, 1.0)
    nn.init.constant_(network.weight, 3.0)
    network.running_mean = torch.full((2,), 7.0)
    update_ema(average, network, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean is not None and average.running_mean.tolist() == [7.0, 7.0]
