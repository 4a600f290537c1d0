"""Image backbone: RGB and Plücker rays to a small feature pyramid (a convolutional network with an FPN on top).

The report does not name its backbone. This one is our own at every size; pretrained weights are left out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.geometry.cameras import pluecker_rays
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.views import Views

MOMENT_LENGTH_M = 20.0


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8 if channels % 8 == 0 else 1, channels)


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            _norm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            _norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.body(x))


class Backbone(nn.Module):
    """Views to maps [S, D, H/s, W/s] at `evidence_stride` and the strides above it, finest first."""

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        inputs = (10, *config.channels[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, channels, 3, stride=2, padding=1),
                _norm(channels),
                nn.SiLU(),
                *(Residual(channels) for _ in range(config.blocks if index else config.blocks - 1)),
            )
            for index, (before, channels) in enumerate(zip(inputs, config.channels, strict=True))
        )
        self.skip = config.evidence_stride.bit_length() - 2
        self.lateral = nn.ModuleList(nn.Conv2d(channels, config.width, 1) for channels in config.channels[self.skip :])

    def forward(self, views: Views) -> list[Tensor]:
        rgb = views.rgb.permute(0, 3, 1, 2) * 2 - 1
        time = views.times_s[:, None, None, None].expand(-1, 1, *rgb.shape[2:])
        x = torch.cat([rgb, pluecker_rays(views.cameras, MOMENT_LENGTH_M), time], 1)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index >= self.skip:
                maps.append(self.lateral[index - self.skip](x))
        for finer in range(len(maps) - 2, -1, -1):
            maps[finer] = maps[finer] + F.interpolate(maps[finer + 1], maps[finer].shape[2:])
        return maps
