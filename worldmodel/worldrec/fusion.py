"""One round of looking: what every context view says about a query, weighted by how well it sees it.

The report fuses image features with weights of "visibility and feature quality" and leaves them undefined. Here a
weight is a masked softmax over views (cameras x times) of a learned score plus the log of a soft occlusion test against
the views' own predicted depth; the closest precedents are GaussianFormer's masked softmax and EVolSplat's visibility
and image-based colour. In addition, depths along the query's ray are compared between views: a plane sweep per query.
Coordinates carry no gradient: depth learns from its supervision and from rendering.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.geometry.cameras import Cameras, full_precision, sample_maps
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.layers import mlp, zeroed
from worldmodel.worldrec.queries import Queries
from worldmodel.worldrec.views import Views

NEAR_M = 0.5
GEOMETRY = 7  # log depth, log depth over the view's own, time, image position, viewing angle, visibility


@dataclass(frozen=True)
class Seen:
    """What a query looks like in every view; all detached. uv [S, N, 2], depth, valid, vis and angle [S, N]."""

    uv: Tensor
    depth: Tensor
    valid: Tensor
    vis: Tensor
    geometry: Tensor


@dataclass(frozen=True)
class Evidence:
    """The context as the fusion rounds look it up.

    Attributes:
        views: the images.
        images: [S, 3, H, W], their colours after exposure.
        maps: pyramid maps [S, D, h, w], finest first.
        matching: [S, M, h, w] features for comparing views.
    """

    views: Views
    images: Tensor
    maps: list[Tensor]
    matching: Tensor


class RaysInCameras:
    """Query rays in camera coordinates: a point at depth z is `base + z * slope`, so many depths cost little."""

    @full_precision
    def __init__(self, queries: Queries, views: Views, velocity: Tensor) -> None:
        viewmats = views.cameras.viewmats
        rotation = viewmats[:, :3, :3].transpose(1, 2)
        self.base = queries.origin @ rotation + viewmats[:, None, :3, 3]
        elapsed = views.times_s[:, None] - queries.time_s
        self.base = self.base + elapsed[..., None] * (velocity @ rotation)
        self.slope = queries.direction @ rotation
        self.parallax = self.base.square().sum(-1) > 1e-4
        self.cameras: Cameras = views.cameras

    def at(self, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """uv [S, N, 2], z-depth and validity [S, N] for depths [N]; [S, N, K, ...] for depths [N, K]."""
        base, slope = self.base, self.slope
        if depth.dim() == 2:
            base, slope = base[..., None, :], slope[..., None, :]
        x, y, z = (base[..., axis] + slope[..., axis] * depth for axis in range(3))
        Ks, shape = self.cameras.Ks, (-1,) + (1,) * depth.dim()
        inverse = 2 / z.clamp(min=NEAR_M)
        u = x * inverse * (Ks[:, 0, 0] / self.cameras.width).view(shape)
        v = y * inverse * (Ks[:, 1, 1] / self.cameras.height).view(shape)
        u = u + (2 * Ks[:, 0, 2] / self.cameras.width - 1).view(shape)
        v = v + (2 * Ks[:, 1, 2] / self.cameras.height - 1).view(shape)
        valid = (z > NEAR_M) & (u.abs() < 1) & (v.abs() < 1)
        return torch.stack([u, v], -1), z, valid


@torch.no_grad()
def look(queries: Queries, rays: RaysInCameras, views: Views) -> Seen:
    """Projects the queries into all views and tests occlusion against the depth of the views' own evidence points."""
    uv, depth, valid = rays.at(queries.depth)
    own = sample_maps(queries.depth_maps.log(), uv)[..., 0].exp()
    vis = soft_visibility(depth, own) * valid
    towards = rays.base + rays.slope * queries.depth[:, None]
    angle = F.cosine_similarity(towards, rays.slope, dim=-1)
    elapsed = views.times_s[:, None] - queries.time_s
    geometry = [
        depth.clamp(min=NEAR_M).log() / 4,
        (depth.clamp(min=NEAR_M) / own).log().clamp(-1, 1),
        elapsed,
        uv[..., 0].clamp(-1, 1),
        uv[..., 1].clamp(-1, 1),
        angle,
        vis,
    ]
    return Seen(uv, depth, valid, vis, torch.stack(geometry, -1))


def soft_visibility(depth: Tensor, surface: Tensor) -> Tensor:
    """1 in front of the surface, falling smoothly behind it: exp(-max(0, z - D - tau) / tau), tau = 0.05 z + 0.3 m."""
    tolerance = 0.05 * depth.clamp(min=0) + 0.3
    return torch.exp(-F.relu(depth - surface - tolerance) / tolerance)


def masked_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """Softmax over the first axis of [S, N, G] where `valid` [S, N]; zeros where nothing is valid."""
    weights = torch.softmax(scores.masked_fill(~valid[..., None], -1e4), 0)
    return weights * valid[..., None]


class DepthComparison(nn.Module):
    """Compares views at K depths along each query's ray: similarity profiles [N, 2K] and a step in log depth [N]."""

    steps: Tensor

    def __init__(self, config: WorldRecConfig, reach: float) -> None:
        super().__init__()
        self.register_buffer("steps", torch.linspace(-reach, reach, config.hypotheses))
        self.key = nn.Linear(config.width, config.matching)
        last = zeroed(nn.Linear(config.width, config.hypotheses))
        self.score = mlp(2 * config.hypotheses + config.width, config.width, last)

    def forward(self, q: Tensor, queries: Queries, rays: RaysInCameras, matching: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            uv, _, valid = rays.at(queries.depth[:, None] * self.steps.exp())
            valid = valid & rays.parallax[..., None]
            some = valid.any(0)
        looked_up = F.grid_sample(matching, uv.clamp(-2, 2), align_corners=False, padding_mode="border")
        similarity = (looked_up * self.key(q).T[None, :, :, None]).sum(1)
        mean = (similarity * valid).sum(0) / valid.sum(0).clamp(min=1)
        best = torch.where(some, similarity.masked_fill(~valid, -1e4).amax(0), 0.0)
        profile = torch.cat([mean, best], -1)
        weights = torch.softmax(self.score(torch.cat([profile, q], -1)), -1)
        return profile, weights @ self.steps


class FusionRound(nn.Module):
    """Compare depths, gather the views' features, update the queries, mix neighbours, move along the ray."""

    def __init__(self, config: WorldRecConfig, reach: float) -> None:
        super().__init__()
        width, self.groups = config.width, config.groups
        self.compare = DepthComparison(config, reach) if config.hypotheses else None
        self.from_query = nn.Linear(width, width)
        self.from_maps = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in range(config.levels))
        self.from_geometry = nn.Linear(GEOMETRY + 3, width, bias=False)
        self.score = nn.Linear(width, config.groups)
        inputs = 2 * width + 7 + 2 * config.hypotheses
        self.update = mlp(inputs, 2 * width, nn.Linear(2 * width, width))
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width), nn.SiLU(), nn.Conv2d(width, width, 1)
        )
        self.step = zeroed(nn.Linear(width, 1))

    def forward(
        self, q: Tensor, queries: Queries, velocity: Tensor, evidence: Evidence
    ) -> tuple[Tensor, Queries, Tensor, Tensor]:
        """Updated features [N, D], queries at their new depth, fused colours [N, 3] and how well each was seen [N]."""
        with torch.no_grad():
            rays = RaysInCameras(queries, evidence.views, velocity)
        parts, step = [q], torch.zeros_like(queries.depth)
        if self.compare is not None:
            profile, step = self.compare(q, queries, rays, evidence.matching)
            parts.append(profile)
        seen = look(queries, rays, evidence.views)
        message, mean, variance = self._fuse(q, seen, evidence)
        visible = 1 - (1 - seen.vis).prod(0)
        q = q + self.update(torch.cat([*parts, message, mean, variance, visible[:, None]], -1))
        q = self._mix_neighbours(q, queries)
        step = step + 0.1 * torch.tanh(self.step(q)[:, 0])
        return q, queries.at_depth(queries.depth * step.exp()), mean, visible

    def _fuse(self, q: Tensor, seen: Seen, evidence: Evidence) -> tuple[Tensor, Tensor, Tensor]:
        features = sum(
            sample_maps(project(x), seen.uv) for project, x in zip(self.from_maps, evidence.maps, strict=False)
        )
        colors = sample_maps(evidence.images, seen.uv)
        hidden = features + self.from_query(q) + self.from_geometry(torch.cat([seen.geometry, colors], -1))
        hidden = F.silu(hidden)
        weights = masked_softmax(self.score(hidden) + (seen.vis + 1e-4).log()[..., None], seen.valid)
        message = (weights[..., None] * hidden.reshape(*hidden.shape[:2], self.groups, -1)).sum(0).flatten(1)
        weight = weights.mean(-1, keepdim=True)
        mean = (weight * colors).sum(0)
        variance = (weight * (colors - mean).square()).sum(0)
        return message, mean, variance

    def _mix_neighbours(self, q: Tensor, queries: Queries) -> Tensor:
        """Evidence points of a view talk to their neighbours in the image."""
        number = queries.n_evidence
        maps = q[:number].reshape(*queries.grid, -1).permute(0, 3, 1, 2)
        mixed = self.mix(maps).permute(0, 2, 3, 1).reshape(number, -1)
        return torch.cat([q[:number] + mixed, q[number:]])
