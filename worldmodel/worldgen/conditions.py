"""What steers the denoiser, per clip of a batch, and how to leave parts of it out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from worldmodel.worldgen.denoiser_config import DropRates

ConditionName = Literal["layout", "prior", "ego", "tags"]
CONDITIONS: tuple[ConditionName, ...] = ("layout", "prior", "ego", "tags")


@dataclass(frozen=True)
class Conditions:
    """B clips of F latent frames, on a latent grid of h x w cells and C channels; images are H x W pixels.

    Attributes:
        layout: uint8 [B, F, 4, H, W, 3], the four images of each latent frame.
        prior: [B, F, C, h, w], the rendered prior through the tokenizer.
        prior_alpha: [B, F, h, w] in 0..1, how much of the prior was seen; 0 where there is none.
        ego: [B, F, 6], speed (m/s), yaw rate (rad/s), forward and left displacement (m) and turn (rad) since the latent
            frame before, and 1 where these are known.
        tags: int64 [B, K], 0 = unknown.
        keep: bool [B, 4] in the order of CONDITIONS; False leaves that condition of that clip out.
        first: [B, C, h, w], the clean latent of the given first frame.
    """

    layout: Tensor
    prior: Tensor
    prior_alpha: Tensor
    ego: Tensor
    tags: Tensor
    keep: Tensor
    first: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def frames(self, start: int, stop: int) -> Self:
        """Latent frames start to stop - 1; `first` stays the clip's."""
        part = slice(start, stop)
        return replace(
            self,
            layout=self.layout[:, part],
            prior=self.prior[:, part],
            prior_alpha=self.prior_alpha[:, part],
            ego=self.ego[:, part],
        )

    def to(self, device: torch.device | str) -> Self:
        """All of it on that device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in vars(self).items()})

    def select(self, clips: Sequence[int] | Tensor | slice) -> Self:
        """Some clips of the batch, in that order."""
        return replace(self, **{name: tensor[clips] for name, tensor in vars(self).items()})

    def without(self, *names: ConditionName) -> Self:
        """The same with these conditions left out for every clip, for guidance."""
        keep = self.keep.clone()
        for name in names:
            keep[:, CONDITIONS.index(name)] = False
        return replace(self, keep=keep)


def drop_conditions(conditions: Conditions, rates: DropRates, rng: np.random.Generator) -> Conditions:
    """Leaves each condition of each clip out at its rate. Draws four numbers per clip, whatever the rates."""
    drawn = rng.random((len(conditions), len(CONDITIONS)))
    kept = drawn >= np.array([getattr(rates, name) for name in CONDITIONS])
    return replace(conditions, keep=conditions.keep & torch.from_numpy(kept).to(conditions.keep.device))
