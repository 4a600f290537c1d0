"""What each stage minimises, as functions of tensors alone. Clips are [B, F, C, h, w]; `given` frames never count.

Sources: rectified flow, arXiv 2209.03003 eq. 1; self-rollout and distribution matching, arXiv 2506.08009 algorithm 1
and arXiv 2311.18828 eq. 7 and 8; the stages' order, arXiv 2605.18137 section 3.2.
"""

import torch
from torch import Tensor


def masked_mean(values: Tensor, given: Tensor) -> Tensor:
    """Mean over all clips and all latent frames that are not `given` (bool [F])."""
    return values[:, ~given].mean()


def flow_loss(velocity: Tensor, x0: Tensor, noise: Tensor, given: Tensor) -> Tensor:
    """mean (v - (noise - x0))^2: for the bidirectional and the teacher-forced network, and the fake score."""
    return masked_mean((velocity - (noise - x0)).square(), given)


def ode_regression_loss(clean: Tensor, end: Tensor, given: Tensor) -> Tensor:
    """mean (x0 of the student - end of the teacher's trajectory)^2."""
    return masked_mean((clean - end).square(), given)


def dmd_gradient(x: Tensor, real: Tensor, fake: Tensor, given: Tensor) -> Tensor:
    """(x0_fake - x0_real) / mean |x - x0_real|, the mean over each clip's frames that are not given; float64.

    Zero in given frames, and wherever the quotient is not a number.
    """
    x, real, fake = (tensor.detach().double() for tensor in (x, real, fake))
    size = (x - real)[:, ~given].abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    gradient = torch.nan_to_num((fake - real) / size, nan=0.0, posinf=0.0, neginf=0.0)
    return gradient * ~given[:, None, None, None]


def dmd_loss(x: Tensor, gradient: Tensor, given: Tensor) -> Tensor:
    """mean 0.5 (x - stopped(x - gradient))^2, whose derivative by x is `gradient` over the number of its elements.

    Its value says nothing about how good x is.
    """
    x = x.double()
    return 0.5 * masked_mean((x - (x - gradient).detach()).square(), given)
