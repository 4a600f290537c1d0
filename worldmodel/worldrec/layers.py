"""Layers that more than one part of the network uses."""

from torch import nn


def zeroed(layer: nn.Linear) -> nn.Linear:
    """The layer with weights and bias at zero, so that training starts from what it is added to."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(inputs: int, hidden: int, last: nn.Linear) -> nn.Sequential:
    """Normalisation, one hidden layer and the given last one."""
    return nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, hidden), nn.SiLU(), last)
