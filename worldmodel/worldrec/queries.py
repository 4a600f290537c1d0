"""Scene queries: where WorldRec looks for something to place Gaussians at.

Every query is a point on a ray, `origin + direction * depth`. Evidence points lie on the rays of the context images'
pixels at a predicted depth (GaussianFormer-2 initialises from depth too), one point per patch; a lattice on shells
around the rig adds queries for what no evidence point covers. Farthest-point sampling and LiDAR evidence are left out:
the set is a fixed grid, so shapes depend on the views alone.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.geometry.cameras import pixel_rays
from worldmodel.worldrec.config import LatticeConfig, WorldRecConfig
from worldmodel.worldrec.views import Views


@dataclass(frozen=True)
class Queries:
    """N queries of G Gaussians: evidence points first (view-major, row-major), then the lattice.

    Attributes:
        origin, direction: [N, 3]; a query is at `origin + direction * depth`.
        depth: [N] metres.
        spread: [N, G, 3], offsets of the Gaussians' directions from the query's.
        size: [N], the extent of one Gaussian's patch at depth 1.
        time_s: [N], when the query was seen.
        colors: [N, G, 3], the patches' colours; zero for the lattice.
        grid: views, rows and columns of the evidence points.
    """

    origin: Tensor
    direction: Tensor
    depth: Tensor
    spread: Tensor
    size: Tensor
    time_s: Tensor
    colors: Tensor
    grid: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def n_evidence(self) -> int:
        return math.prod(self.grid)

    @property
    def positions(self) -> Tensor:
        """[N, 3]."""
        return self.origin + self.direction * self.depth[:, None]

    @property
    def depth_maps(self) -> Tensor:
        """Depth of the evidence points as maps [S, 1, h, w]."""
        return self.depth[: self.n_evidence].reshape(self.grid)[:, None]

    def at_depth(self, depth: Tensor) -> "Queries":
        return replace(self, depth=depth)


def make_queries(views: Views, images: Tensor, depth_maps: Tensor, config: WorldRecConfig) -> Queries:
    """Evidence points at `depth_maps` [S, h, w] for every view, coloured by `images` [S, 3, H, W], and the lattice."""
    evidence = _evidence(views, images, depth_maps, config)
    lattice = _lattice(views, config)
    origin, direction, depth, spread, size, time_s, colors = (
        torch.cat(pair) for pair in zip(evidence, lattice, strict=True)
    )
    count, rows, columns = depth_maps.shape
    return Queries(origin, direction, depth, spread, size, time_s, colors, (count, rows, columns))


def _evidence(views: Views, images: Tensor, depth_maps: Tensor, config: WorldRecConfig) -> tuple[Tensor, ...]:
    count, rows, columns = depth_maps.shape
    grid = config.grid
    origins, directions = pixel_rays(views.cameras.resized(rows, columns))
    _, fine = pixel_rays(views.cameras.resized(rows * grid, columns * grid))
    colors = F.interpolate(images, (rows * grid, columns * grid), mode="area").permute(0, 2, 3, 1)
    step = config.evidence_stride / grid / views.cameras.Ks[:, 0, 0]

    def patches(x: Tensor) -> Tensor:
        """[S, h * g, w * g, 3] to [S * h * w, G, 3]."""
        return x.reshape(count, rows, grid, columns, grid, 3).transpose(2, 3).reshape(-1, grid * grid, 3)

    def each(x: Tensor) -> Tensor:
        """One value per view to one per point."""
        return x.repeat_interleave(rows * columns, 0)

    direction = directions.reshape(-1, 3)
    spread = patches(fine) - direction[:, None]
    return each(origins), direction, depth_maps.flatten(), spread, each(step), each(views.times_s), patches(colors)


def _lattice(views: Views, config: WorldRecConfig) -> tuple[Tensor, ...]:
    like = views.rgb
    direction, depth, size = (x.to(like.device) for x in lattice_rays(config.lattice))
    number, gaussians = len(direction), config.grid**2
    # a golden-angle spiral spreads the Gaussians of a query over its cell
    turn = torch.arange(gaussians, device=like.device) * 2.399963
    radius = ((torch.arange(gaussians, device=like.device) + 0.5) / gaussians).sqrt() * 0.5
    jitter = torch.stack([radius * turn.cos(), radius * turn.sin(), radius * (2 * turn).cos()], -1)
    return (
        views.cameras.world_from_camera[:, :3, 3].mean(0).expand(number, 3),
        direction,
        depth,
        size[:, None, None] * jitter,
        size / config.grid,
        views.times_s.mean().expand(number),
        like.new_zeros(number, gaussians, 3),
    )


def lattice_rays(config: LatticeConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Unit directions [A, 3], distances [A] and angular cell sizes [A] of the lattice."""
    azimuth = torch.arange(config.azimuths) * (2 * math.pi / config.azimuths)
    pitch = torch.linspace(*config.pitch_deg, config.pitches) * (math.pi / 180)
    distance = torch.linspace(math.log(config.near_m), math.log(config.far_m), config.shells).exp()
    azimuth, pitch, distance = (x.flatten() for x in torch.meshgrid(azimuth, pitch, distance, indexing="ij"))
    direction = torch.stack([pitch.cos() * azimuth.cos(), pitch.cos() * azimuth.sin(), pitch.sin()], -1)
    return direction, distance, torch.full_like(distance, 2 * math.pi / config.azimuths)
