"""Learning rates and weight averages over the steps of a run."""

import math

import torch
from torch import nn

from worldmodel.training.config import LoopConfig


def lr_share(config: LoopConfig, step: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine down to `final_lr_share`."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    done = (step - config.warmup) / (config.steps - config.warmup)
    return config.final_lr_share + (1 - config.final_lr_share) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def ema_decay(decay: float, updates: int) -> float:
    """Decay of a moving average after so many updates: short at first, so that the initial weights are soon gone."""
    return min(decay, (1 + updates) / (10 + updates))


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average's parameters by 1 - decay of the way to the network's; buffers are copied."""
    for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
        ours.lerp_(theirs.detach(), 1 - decay)
    for kept, now in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(now)
