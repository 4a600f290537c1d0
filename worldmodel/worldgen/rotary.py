"""Rotary positions over (latent frame, row, column), as in Wan2.1, for any frame positions."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

_BASE = 10_000.0


def rotary_table(
    positions: Sequence[int], grid: tuple[int, int], features: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The turns of a head's feature pairs, for the tokens of latent frames at these positions.

    A head's pairs are shared out between row and column, a third each (rounded down), and time, the rest.

    Returns:
        complex64 [len(positions) * rows * columns, features / 2], frame by frame and row by row.
    """
    return _table(tuple(positions), grid, features, torch.device(device))


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns the neighbouring pairs of x [B, S, heads, features] by a table [S, features / 2]; keeps the dtype."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table[:, None]).flatten(-2).type_as(x)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _table(positions: tuple[int, ...], grid: tuple[int, int], features: int, device: torch.device) -> Tensor:
    of_space = features // 6
    of_time = features // 2 - 2 * of_space
    rows, columns = grid
    time = _angles(torch.tensor(positions), of_time)[:, None, None].expand(-1, rows, columns, -1)
    row = _angles(torch.arange(rows), of_space)[None, :, None].expand(len(positions), -1, columns, -1)
    column = _angles(torch.arange(columns), of_space)[None, None].expand(len(positions), rows, -1, -1)
    angles = torch.cat([time, row, column], dim=-1).flatten(0, 2)
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64).to(device)


def _angles(positions: Tensor, pairs: int) -> Tensor:
    """Float64 [len(positions), pairs]."""
    return positions.double()[:, None] * _BASE ** (-torch.arange(pairs).double() / pairs)
