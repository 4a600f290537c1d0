"""A denoiser of a few thousand weights, with every part awake, and random clips for it."""

from typing import Literal

import torch

from worldmodel.worldgen.conditions import Conditions
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.denoiser_config import DenoiserConfig, LatentSpec

LATENTS = LatentSpec(channels=3, grid=(4, 6), stride=2, vocabulary=3)


def toy_config(
    chunk: int = 1, window: int = 5, prediction: Literal["v", "x0"] = "v", checkpointing: bool = False
) -> DenoiserConfig:
    return DenoiserConfig(
        width=24,
        heads=2,
        ffn=32,
        layers=2,
        frequencies=8,
        text_width=6,
        layout_channels=4,
        chunk=chunk,
        window=window,
        prediction=prediction,
        checkpointing=checkpointing,
    )


def toy_denoiser(
    chunk: int = 1, window: int = 5, prediction: Literal["v", "x0"] = "v", checkpointing: bool = False
) -> Denoiser:
    """The same weights whatever the arguments; none of them is zero."""
    torch.manual_seed(7)
    denoiser = Denoiser(toy_config(chunk, window, prediction, checkpointing).fitted(LATENTS))
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return denoiser


def toy_clips(frames: int, batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, Conditions]:
    """Latents [B, F, C, h, w], and conditions of which everything is known."""
    state = torch.Generator().manual_seed(seed)
    channels, (height, width) = LATENTS.channels, LATENTS.grid
    latents = torch.randn(batch, frames, channels, height, width, generator=state)
    images = (batch, frames, 4, *LATENTS.image_size, 3)
    conditions = Conditions(
        layout=torch.randint(0, 256, images, dtype=torch.uint8, generator=state),
        prior=torch.randn(batch, frames, channels, height, width, generator=state),
        prior_alpha=torch.rand(batch, frames, height, width, generator=state),
        ego=torch.cat([torch.randn(batch, frames, 5, generator=state), torch.ones(batch, frames, 1)], dim=-1),
        tags=torch.randint(1, LATENTS.vocabulary + 1, (batch, 2), generator=state),
        keep=torch.ones(batch, 4, dtype=torch.bool),
        first=latents[:, 0],
    )
    return latents, conditions
