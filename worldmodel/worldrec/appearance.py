"""What is not Gaussians: the sky behind them and each image's exposure.

The sky is a colour by direction (STORM, UFO and DGGT treat it apart too). The exposure of a target view comes from the
context views alone: a gain per context view, blended by how near in time and direction they are.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.geometry.cameras import Cameras, pixel_rays
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.layers import zeroed

_FREQUENCIES = 3


class Sky(nn.Module):
    """Colour [C, H, W, 3] by direction, given a token of the scene [D]."""

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        self.from_direction = nn.Linear(3 * (1 + 2 * _FREQUENCIES), config.sky_width)
        self.from_token = nn.Linear(config.width, config.sky_width)
        self.body = nn.Sequential(
            nn.SiLU(), nn.Linear(config.sky_width, config.sky_width), nn.SiLU(), nn.Linear(config.sky_width, 3)
        )

    def forward(self, token: Tensor, cameras: Cameras) -> Tensor:
        _, directions = pixel_rays(cameras)
        directions = F.normalize(directions, dim=-1)
        angles = directions[..., None] * 2.0 ** torch.arange(_FREQUENCIES, device=token.device)
        encoded = torch.cat([directions, angles.sin().flatten(-2), angles.cos().flatten(-2)], -1)
        return torch.sigmoid(self.body(self.from_direction(encoded) + self.from_token(token)))


@dataclass(frozen=True)
class Exposure:
    """Log gains [S, 3] of the context views, with their optical axes [S, 3] and times [S]."""

    log_gains: Tensor
    axes: Tensor
    times_s: Tensor

    def remove(self, images: Tensor) -> Tensor:
        """Context images [S, 3, H, W] as if all had been exposed alike."""
        return images * torch.exp(-self.log_gains)[..., None, None]

    def at(self, cameras: Cameras, times_s: Tensor) -> Tensor:
        """Gains [C, 3] of cameras at times, from the nearest context views."""
        axes = cameras.world_from_camera[:, :3, 2]
        nearness = 8 * axes @ self.axes.T - 8 * (times_s[:, None] - self.times_s).abs()
        return torch.exp(torch.softmax(nearness, -1) @ self.log_gains)


class ExposureHead(nn.Module):
    """Gains from pooled features, relative to the mean of the context."""

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        self.gain = zeroed(nn.Linear(config.width + 3, 3))

    def forward(self, coarsest: Tensor, images: Tensor, cameras: Cameras, times_s: Tensor) -> Exposure:
        pooled = torch.cat([coarsest.mean((2, 3)), images.mean((2, 3))], -1)
        gains = 0.5 * torch.tanh(self.gain(pooled).float())
        return Exposure(gains - gains.mean(0), cameras.world_from_camera[:, :3, 2], times_s)
