"""Stand-ins for the denoiser whose trajectories are known. What is true stands in the conditions' prior."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from worldmodel.worldgen.conditions import Conditions


class Oracle:
    """Knows the clean latents: v = (x - x0) / sigma; with tags, x0 is higher by `tag_shift`. Notes what it is asked."""

    def __init__(self, chunk: int = 1, tag_shift: float = 0.0) -> None:
        self.config = SimpleNamespace(chunk=chunk)
        self.tag_shift = tag_shift
        self.asked: list[tuple[float, bool]] = []
        self.written: list[Tensor] = []

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions, mode: str, clean: Any = None) -> Tensor:
        assert mode == "full" and torch.equal(x[:, 0], conditions.first) and not sigma[:, 0].any()
        level = sigma[:, 1].reshape(-1, 1, 1, 1, 1)
        return (x - self._true(conditions)) / level

    def new_cache(self, batch: int) -> list[Tensor]:
        return []

    def step(
        self, x: Tensor, sigma: Tensor, conditions: Conditions, cache: list[Tensor], write: bool = False
    ) -> Tensor:
        if write:
            assert not sigma.any() and not torch.is_grad_enabled()
            cache.append(x)
            self.written.append(x)
            return x
        self.asked.append((round(float(sigma[0]), 6), torch.is_grad_enabled()))
        return (x - self._true(conditions)) / sigma.reshape(-1, 1, 1, 1, 1)

    def _true(self, conditions: Conditions) -> Tensor:
        return conditions.prior + self.tag_shift * conditions.keep[:, 3].reshape(-1, 1, 1, 1, 1)


class Growing:
    """v = rate * x at every level: an Euler step from a to b multiplies x by 1 + rate * (b - a)."""

    config = SimpleNamespace(chunk=1)

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions, mode: str, clean: Any = None) -> Tensor:
        assert mode == "teacher_forcing" and clean is not None
        return self.rate * x
