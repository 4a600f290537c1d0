"""Which Gaussians touch which tile, in depth order: the index structure of the CPU rasterizer.

Rows are (tile, Gaussian) pairs. Each tile's rows are cut into chunks of fixed length, the last one padded, and the
chunks of all tiles (of all cameras) are ordered by level: first every tile's nearest chunk, then every tile's second,
and so on. One level is then one dense batch, and tiles that are already opaque drop out of the next.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from worldmodel.splat.projection import Projected

TILE = 8
CHUNK = 16


@dataclass(frozen=True)
class Tiling:
    """The layout of all rows.

    Attributes:
        order: [V] indices into the flattened [C * N] projections: the visible ones, by camera and then by depth.
        rows: [Q * CHUNK] indices into `order`; V marks padding.
        tile_of_chunk: [Q] tile index, camera-major, then row-major in the image.
        levels: (first, last + 1) chunk of each level.
        grid: cameras, tile rows, tile columns.
    """

    order: Tensor
    rows: Tensor
    tile_of_chunk: Tensor
    levels: tuple[tuple[int, int], ...]
    grid: tuple[int, int, int]

    def centres(self) -> Tensor:
        """Tile centres of every chunk in pixels, [Q, 2]."""
        _, height, width = self.grid
        tile = self.tile_of_chunk % (height * width)
        return torch.stack([tile % width, tile // width], -1) * float(TILE) + TILE / 2


@torch.no_grad()
def bin_into_tiles(projected: Projected, height: int, width: int) -> Tiling:
    """Sorts by depth (ties by index, as gsplat does) and lists for each tile what may reach an alpha of 1/255 in it."""
    cameras, count = projected.depths.shape
    grid = (cameras, -(-height // TILE), -(-width // TILE))
    visible = projected.visible.flatten().nonzero()[:, 0]
    by_depth = torch.sort(projected.depths.flatten()[visible], stable=True).indices
    order = visible[by_depth]  # each tile belongs to one camera, so one sort over all cameras orders every tile
    tile, row = _pairs(projected, order, order // count, grid)
    counts = torch.bincount(tile, minlength=cameras * grid[1] * grid[2])
    rows = row[torch.sort(tile, stable=True).indices]
    return Tiling(order, *_chunks(rows, counts, padding=len(order)), grid)


def _pairs(projected: Projected, order: Tensor, camera: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """(tile, position in `order`) of every tile that each Gaussian's box overlaps."""
    last = torch.tensor([grid[2] - 1, grid[1] - 1])
    means, extents = projected.means2d.flatten(0, 1)[order], projected.extents.flatten(0, 1)[order]
    low = ((means - extents) / TILE).floor().long().clamp(min=0).minimum(last)
    high = ((means + extents) / TILE).floor().long().clamp(min=0).minimum(last)
    spans = high - low + 1
    counts = spans.prod(-1)
    row = torch.repeat_interleave(torch.arange(len(order)), counts)
    nth = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
    base = (camera * grid[1] + low[:, 1]) * grid[2] + low[:, 0]
    across = spans[row, 0]
    return base[row] + nth // across * grid[2] + nth % across, row


def _chunks(rows: Tensor, counts: Tensor, padding: int) -> tuple[Tensor, Tensor, tuple[tuple[int, int], ...]]:
    """Rows sorted by tile, laid out in padded chunks ordered by level."""
    chunks_of_tile = (counts + CHUNK - 1) // CHUNK
    tile = torch.repeat_interleave(torch.arange(len(counts)), chunks_of_tile)
    level = torch.arange(len(tile)) - (chunks_of_tile.cumsum(0) - chunks_of_tile)[tile]
    by_level = torch.sort(level, stable=True).indices
    tile, level = tile[by_level], level[by_level]
    slot = level[:, None] * CHUNK + torch.arange(CHUNK)
    first = counts.cumsum(0) - counts
    padded = torch.cat([rows, rows.new_tensor([padding])])
    source = torch.where(slot < counts[tile, None], first[tile, None] + slot, len(rows))
    ends = torch.bincount(level).cumsum(0).tolist()
    return padded[source.flatten()], tile, tuple(pairwise([0, *ends]))
