"""How the conditions enter the network: as channels beside the noisy latent, in the time embedding, and as text."""

import torch
from torch import Tensor, nn

from worldmodel.worldgen.conditions import CONDITIONS, ConditionName, Conditions
from worldmodel.worldgen.denoiser_config import FittedDenoiserConfig

_OCTAVES = 6
_EGO_NUMBERS = 5


def kept(conditions: Conditions, name: ConditionName) -> Tensor:
    """bool [B]: the clips that have this condition."""
    return conditions.keep[:, CONDITIONS.index(name)]


class LayoutPatches(nn.Module):
    """The four layout images of a latent frame as channels on the latent grid; none is zero, unlike a black image."""

    def __init__(self, config: FittedDenoiserConfig) -> None:
        super().__init__()
        size = (4, config.latents.stride, config.latents.stride)
        self.patches = nn.Conv3d(3, config.layout_channels, kernel_size=size, stride=size)

    def forward(self, conditions: Conditions) -> Tensor:
        """[B, F, L, h, w]"""
        batch, frames = conditions.layout.shape[:2]
        pixels = conditions.layout.flatten(0, 1).permute(0, 4, 1, 2, 3).to(self.patches.weight.dtype) / 255
        channels = self.patches(pixels).squeeze(2).unflatten(0, (batch, frames))
        return torch.where(kept(conditions, "layout")[:, None, None, None, None], channels, 0.0)


class EgoEmbedding(nn.Module):
    """Ego motion as a part of the time embedding; zero at first. Dropped is the same as unknown."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(_EGO_NUMBERS * (1 + 2 * _OCTAVES) + 1, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, conditions: Conditions) -> Tensor:
        """[B, F, D]"""
        ego = torch.where(kept(conditions, "ego")[:, None, None], conditions.ego, 0.0)
        features = torch.cat([ego_features(ego[..., :_EGO_NUMBERS]), ego[..., _EGO_NUMBERS:]], dim=-1)
        embedded: Tensor = self.outer(nn.functional.silu(self.inner(features)))
        return embedded


def ego_features(numbers: Tensor) -> Tensor:
    """symlog(x) = sign(x) log(1 + |x|), and its sines and cosines at 1, 2, 4, ... radians: [..., n] to [..., 13 n]."""
    compressed = numbers.sign() * numbers.abs().log1p()
    angles = compressed[..., None] * 2.0 ** torch.arange(_OCTAVES, device=numbers.device)
    return torch.cat([compressed, angles.sin().flatten(-2), angles.cos().flatten(-2)], dim=-1)


class TagTokens(nn.Module):
    """Tags as tokens for cross-attention, in the place of a text encoder's; always one at least."""

    def __init__(self, config: FittedDenoiserConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(config.latents.vocabulary + 1, config.text_width)

    def forward(self, conditions: Conditions) -> Tensor:
        """[B, max(K, 1), text width]"""
        tags = torch.where(kept(conditions, "tags")[:, None], conditions.tags, 0)
        if tags.shape[1] == 0:
            tags = tags.new_zeros(len(tags), 1)
        embedded: Tensor = self.table(tags)
        return embedded


def prior_channels(conditions: Conditions, starts: bool) -> Tensor:
    """The known picture, where it is known, and the given frame: [B, F, 2 C + 2, h, w].

    Args:
        conditions: of some latent frames.
        starts: whether the first of them is the clip's first: it is given, whether there is a prior or not.

    Returns:
        C channels of prior * alpha (the given latent in the first frame), alpha (1 there), a flag for that frame, and
        the given latent again in every frame: what to go on from where there is no prior.
    """
    keep = kept(conditions, "prior")[:, None, None, None]
    alpha = torch.where(keep, conditions.prior_alpha, 0.0)[:, :, None]
    picture = conditions.prior * alpha
    flag = torch.zeros_like(alpha)
    if starts:
        one = torch.ones_like(alpha[:, :1])
        picture = torch.cat([conditions.first[:, None], picture[:, 1:]], dim=1)
        alpha, flag = torch.cat([one, alpha[:, 1:]], dim=1), torch.cat([one, flag[:, 1:]], dim=1)
    given = conditions.first[:, None].expand(-1, picture.shape[1], -1, -1, -1)
    return torch.cat([picture, alpha, flag, given], dim=2)
