"""From noise to latents: all frames at once, or chunk by chunk against the cache; many Euler steps, or a few.

A solver turns noise into clean latents by asking for velocities. All the noise it may use is drawn beforehand, so what
is drawn depends neither on the batch's composition nor on where a few-step solver stops.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from worldmodel.training.seeds import torch_generator
from worldmodel.worldgen.conditions import Conditions
from worldmodel.worldgen.noise import chunk_bounds, draw_noise, to_clean

if TYPE_CHECKING:
    from worldmodel.worldgen.denoiser import Denoiser

Velocity = Callable[[Tensor, float], Tensor]
Solver = Callable[[Velocity, Tensor], Tensor]


def sample_noise(keys: Sequence[str], seed: int, steps: int, shape: Sequence[int]) -> Tensor:
    """[B, steps, F, C, h, w]: the noise of each clip by its own key, whatever clips are beside it.

    The first step's noise does not depend on how many steps there are.
    """
    generators = [torch_generator(seed, "sample", key) for key in keys]
    return torch.stack([torch.stack([draw_noise(shape, g) for _ in range(steps)]) for g in generators])


def euler_solver(sigmas: Sequence[float]) -> Solver:
    """Integrates from the first level to the last, which is 0; uses the first noise only."""

    def solve(velocity: Velocity, noise: Tensor) -> Tensor:
        x = noise[:, 0]
        for here, there in pairwise(sigmas):
            x = x + (there - here) * velocity(x, here)
        return x

    return solve


def few_step_solver(sigmas: Sequence[float], exit_step: int | None = None, differentiable: bool = False) -> Solver:
    """Predicts clean latents at each level and noises them again, with fresh noise, down to the next.

    Args:
        sigmas: falling levels above 0.
        exit_step: the level whose prediction is the result; None for the last.
        differentiable: lets gradients through that last prediction, and through nothing before.
    """
    last = len(sigmas) - 1 if exit_step is None else exit_step

    def solve(velocity: Velocity, noise: Tensor) -> Tensor:
        x = noise[:, 0]
        for step in range(last):
            with torch.no_grad():
                clean = to_clean(x, velocity(x, sigmas[step]), sigmas[step])
            x = (1 - sigmas[step + 1]) * clean + sigmas[step + 1] * noise[:, step + 1]
        with torch.set_grad_enabled(differentiable):
            return to_clean(x, velocity(x, sigmas[last]), sigmas[last])

    return solve


def sample_full(
    denoiser: "Denoiser", conditions: Conditions, noise: Tensor, solver: Solver, guidance: float = 1.0
) -> Tensor:
    """All latent frames at once, each seeing all; the given first frame stays as it is. [B, F, C, h, w].

    Args:
        denoiser: a bidirectional network.
        conditions: of B clips and F latent frames.
        noise: [B, steps, F, C, h, w].
        solver: `euler_solver` or `few_step_solver`.
        guidance: v = v_without + guidance (v_with - v_without), where `without` lacks the tags; 1 = off.
    """
    free = conditions.without("tags")

    def fixed(x: Tensor) -> Tensor:
        return torch.cat([conditions.first[:, None], x[:, 1:]], dim=1)

    def velocity(x: Tensor, sigma: float) -> Tensor:
        levels = torch.full(x.shape[:2], sigma, device=x.device)
        levels[:, 0] = 0
        asked = denoiser(fixed(x), levels, conditions, "full")
        return asked if guidance == 1 else _guided(denoiser(fixed(x), levels, free, "full"), asked, guidance)

    with torch.no_grad():
        return fixed(solver(velocity, noise))


def sample_causal(
    denoiser: "Denoiser", conditions: Conditions, noise: Tensor, solver: Solver, guidance: float = 1.0
) -> Tensor:
    """Chunk by chunk: each sees the clean chunks before it through the cache. [B, F, C, h, w].

    Args: as of `sample_full`. Gradients flow as far as the solver lets them, never through the cache.
    """
    context = _Context(denoiser, conditions, guidance)
    frames = noise.shape[2]
    done = [conditions.first[:, None]]
    context.write(done[0], 0)
    for start, stop in chunk_bounds(frames, denoiser.config.chunk)[1:]:
        chunk = solver(context.at(start), noise[:, :, start:stop])
        if stop < frames:
            context.write(chunk.detach(), start)
        done.append(chunk)
    return torch.cat(done, dim=1)


class _Context:
    """The latent frames so far, in one cache, or in two where there is guidance."""

    def __init__(self, denoiser: "Denoiser", conditions: Conditions, guidance: float) -> None:
        self.denoiser, self.guidance = denoiser, guidance
        self.conditions = [conditions] if guidance == 1 else [conditions.without("tags"), conditions]
        self.caches = [denoiser.new_cache(len(conditions)) for _ in self.conditions]

    def at(self, start: int) -> Velocity:
        """The velocity of a chunk that begins at latent frame `start`."""

        def velocity(x: Tensor, sigma: float) -> Tensor:
            values = self._step(x, sigma, start, write=False)
            return values[0] if len(values) == 1 else _guided(values[0], values[1], self.guidance)

        return velocity

    @torch.no_grad()
    def write(self, clean: Tensor, start: int) -> None:
        self._step(clean, 0.0, start, write=True)

    def _step(self, x: Tensor, sigma: float, start: int, write: bool) -> list[Tensor]:
        levels = torch.full(x.shape[:1], sigma, device=x.device)
        stop = start + x.shape[1]
        return [
            self.denoiser.step(x, levels, conditions.frames(start, stop), cache, write=write)
            for conditions, cache in zip(self.conditions, self.caches, strict=True)
        ]


def _guided(without: Tensor, asked: Tensor, guidance: float) -> Tensor:
    return without + guidance * (asked - without)
