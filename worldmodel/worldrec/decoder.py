"""Query features to Gaussians: several per query, one for each part of its patch."""

import torch
from torch import Tensor, nn

from worldmodel.splat import Gaussians
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.layers import mlp, zeroed
from worldmodel.worldrec.queries import Queries

# per Gaussian: depth 1, offset 3, scale 3, quaternion 4, opacity 1, colour 3, fused-colour gate 1, lifespan 1
_SPLIT = (1, 3, 3, 4, 1, 3, 1, 1)


class GaussianHead(nn.Module):
    """The last layer starts at zero: every Gaussian starts on its ray, as large as its patch, in its pixels' colour."""

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        self.gaussians = config.grid**2
        last = zeroed(nn.Linear(2 * config.width, self.gaussians * sum(_SPLIT)))
        self.body = mlp(config.width, 2 * config.width, last)

    def forward(self, q: Tensor, queries: Queries, fused: Tensor, visible: Tensor) -> tuple[Gaussians, Tensor]:
        """Gaussians [N * G], and their lifespans [N * G] in seconds."""
        raw = self.body(q).reshape(len(q), self.gaussians, -1).split(_SPLIT, -1)
        depth, offset, scale, quaternion, opacity, color, gate, lifespan = raw
        depth = queries.depth[:, None, None] * torch.exp(0.3 * torch.tanh(depth))
        footprint = depth * queries.size[:, None, None]
        rays = queries.direction[:, None] + queries.spread
        means = queries.origin[:, None] + rays * depth + footprint * torch.tanh(offset)
        scales = footprint * 0.6 * torch.exp(scale.clamp(-3, 2))
        quats = quaternion + quaternion.new_tensor([1.0, 0.0, 0.0, 0.0])
        opacities = torch.sigmoid(opacity[..., 0] - 0.5) * visible[:, None]
        colors = self._colors(queries, fused, color, gate)
        flat = [x.flatten(0, 1) for x in (means, quats, scales, opacities, colors)]
        return Gaussians(*flat), nn.functional.softplus(lifespan + 1.0).flatten() + 0.05

    def _colors(self, queries: Queries, fused: Tensor, color: Tensor, gate: Tensor) -> Tensor:
        """The patch's own colour shifted towards the fused one; the lattice has only the fused one."""
        number = queries.n_evidence
        own = queries.colors[:number]
        shift = fused[:number, None] - own.mean(1, keepdim=True)
        own = own + torch.sigmoid(gate[:number] - 2) * shift
        base = torch.cat([own, fused[number:, None].expand(-1, self.gaussians, -1)])
        return (base + 0.5 * torch.tanh(color)).clamp(0, 1)
