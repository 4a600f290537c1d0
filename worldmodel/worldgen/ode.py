"""Stage 2-2, first half: trajectories of the causal teacher, for the few-step student to regress onto their ends.

The teacher is the teacher-forced network with the true past as context, so all chunks are integrated in parallel. Its
causality makes a trajectory's end a function of its start and the past alone, which a causal student can learn.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from worldmodel.errors import ParamsError
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.noise import euler_sigmas

if TYPE_CHECKING:
    from worldmodel.worldgen.config import NoiseConfig
    from worldmodel.worldgen.denoiser import Denoiser


@dataclass(frozen=True)
class Trajectories:
    """Of B clips.

    Attributes:
        states: [B, S, F, C, h, w], at each of the S few-step levels; the first is the noise itself.
        ends: [B, F, C, h, w], at level 0.
    """

    states: Tensor
    ends: Tensor


def kept_steps(noise: "NoiseConfig", steps: int) -> list[int]:
    """The Euler steps at whose start the few levels lie.

    Raises:
        ParamsError: a level lies between two steps.
    """
    places = noise.places(steps)
    if any(abs(place - round(place)) > 1e-9 for place in places):
        raise ParamsError(
            f"worldgen_ode_pairs.steps {steps} does not pass through all of few_steps",
            expected=f"every (1 - u) * steps whole, for u in {noise.few_steps}",
            got=str(places),
            fix="use 24 or 48 with quarters",
        )
    return [round(place) for place in places]


@torch.no_grad()
def integrate(
    teacher: "Denoiser", data: LatentBatch, start: Tensor, config: "NoiseConfig", steps: int, guidance: float = 1.0
) -> Trajectories:
    """Euler integration of dx = v dsigma from 1 to 0, the first latent frame given throughout.

    Args:
        teacher: a teacher-forced network.
        data: true latents, which are also the context, and conditions.
        start: the noise, [B, F, C, h, w].
        config: levels.
        steps: of the integration.
        guidance: v_without + guidance (v_with - v_without), where `without` lacks the tags; 1 = off.
    """
    kept, sigmas = kept_steps(config, steps), euler_sigmas(steps, config.shift)
    x = _fixed(start, data.z)
    states: list[Tensor] = []
    for step, (here, there) in enumerate(pairwise(sigmas)):
        if step in kept:
            states.append(x)
        x = _fixed(x + (there - here) * _velocity(teacher, data, x, here, guidance), data.z)
    return Trajectories(torch.stack(states, dim=1), x)


def _velocity(teacher: "Denoiser", data: LatentBatch, x: Tensor, sigma: float, guidance: float) -> Tensor:
    levels = torch.full(x.shape[:2], sigma, device=x.device)
    levels[:, 0] = 0
    asked: Tensor = teacher(x, levels, data.conditions, "teacher_forcing", clean=data.z)
    if guidance == 1:
        return asked
    without: Tensor = teacher(x, levels, data.conditions.without("tags"), "teacher_forcing", clean=data.z)
    return without + guidance * (asked - without)


def _fixed(x: Tensor, z: Tensor) -> Tensor:
    return torch.cat([z[:, :1], x[:, 1:]], dim=1)
