"""WorldRec: feed-forward reconstruction of a driving scene from posed images (a small, true version).

Scene queries look up image features by projection, fuse them by visibility and decode to Gaussians (section 3.1 of the
report). Undisclosed parts are filled in from STORM (velocity tokens, sky), DGGT and UFO (lifespan), GaussianFormer
(masked softmax) and EVolSplat (image-based colour). Set-based: any number of cameras and context frames. Left out:
box-guided motion, spherical harmonics, LiDAR evidence, pretrained backbones.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.worldrec.appearance import ExposureHead, Sky
from worldmodel.worldrec.backbone import Backbone
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.decoder import GaussianHead
from worldmodel.worldrec.fusion import Evidence, FusionRound
from worldmodel.worldrec.layers import zeroed
from worldmodel.worldrec.queries import Queries, make_queries
from worldmodel.worldrec.scene import Scene
from worldmodel.worldrec.views import Views

FIRST_REACH = 0.4  # half the range of log depth that the first round's comparison covers; halves every round


class DepthHead(nn.Module):
    """Depth maps [S, h, w] in metres: the expectation of log depth over bins."""

    bins: Tensor

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        self.register_buffer("bins", torch.linspace(math.log(config.near_m), math.log(config.far_m), config.depth_bins))
        self.body = nn.Sequential(
            nn.Conv2d(config.width, config.width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(config.width, config.depth_bins, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        weights = torch.softmax(self.body(features), 1)
        return (weights.float() * self.bins[:, None, None]).sum(1).exp()


class Motion(nn.Module):
    """Velocities [N, 3] in m/s as mixtures of a few that the scene offers (STORM's motion tokens)."""

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(config.motion_tokens, config.width))
        self.key = nn.Linear(config.width, config.width)
        self.query = nn.Linear(config.width, config.width)
        self.velocity = zeroed(nn.Linear(config.width, 3))

    def forward(self, q: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        gathered = torch.softmax(self.tokens @ self.key(q).T * scale, -1) @ q
        bases = 10 * self.velocity(self.tokens + gathered)
        velocities: Tensor = torch.softmax(self.query(q) @ self.tokens.T * scale / 0.5, -1) @ bases
        return velocities.float()


class WorldRec(nn.Module):
    """Context views to a scene."""

    def __init__(self, config: WorldRecConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.depth_head = DepthHead(config)
        self.matching = nn.Conv2d(config.width, config.matching, 1)
        self.place = nn.Sequential(nn.Linear(8, config.width), nn.SiLU(), nn.Linear(config.width, config.width))
        self.lattice = nn.Parameter(torch.randn(len(config.lattice), config.width) * 0.1)
        self.rounds = nn.ModuleList(FusionRound(config, FIRST_REACH * 0.5**index) for index in range(config.rounds))
        self.motion = Motion(config) if config.motion_tokens else None
        self.head = GaussianHead(config)
        self.sky = Sky(config)
        self.exposure = ExposureHead(config)

    def forward(self, context: Views) -> Scene:
        """Reads `rgb`, `cameras` and `times_s` of the context, and nothing else."""
        maps = self.backbone(context)
        images = context.rgb.permute(0, 3, 1, 2)
        exposure = self.exposure(maps[-1], images, context.cameras, context.times_s)
        images = exposure.remove(images)
        evidence = Evidence(context, images, maps, self.matching(maps[0]))
        depth_maps = self.depth_head(maps[0])
        queries = make_queries(context, images, depth_maps, self.config)
        q = self._features(queries, maps[0])
        velocity = torch.zeros_like(queries.origin)
        fused, visible = torch.zeros_like(velocity), torch.zeros_like(queries.depth)
        refined = [depth_maps]
        for fusion in self.rounds:
            q, queries, fused, visible = fusion(q, queries, velocity, evidence)
            velocity = self.motion(q) if self.motion is not None else velocity
            refined.append(queries.depth_maps[:, 0])
        gaussians, lifespans = self.head(q, queries, fused, visible)
        each = self.config.grid**2
        return Scene(
            gaussians,
            velocity.repeat_interleave(each, 0),
            queries.time_s.repeat_interleave(each, 0),
            lifespans,
            self.sky,
            maps[-1].mean((0, 2, 3)).float(),
            exposure,
            tuple(refined),
        )

    def _features(self, queries: Queries, finest: Tensor) -> Tensor:
        """Initial query features [N, D] from the map at the evidence points, and from where each query is."""
        own = finest.permute(0, 2, 3, 1).flatten(0, 2)
        direction = F.normalize(queries.direction, dim=-1)
        place = [queries.depth.log()[:, None] / 4, direction, queries.origin / 20, queries.time_s[:, None]]
        placed: Tensor = self.place(torch.cat(place, -1))
        return torch.cat([own, self.lattice]) + placed
