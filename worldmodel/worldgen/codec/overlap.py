"""An orthonormal filter across patch edges: with it, patches overlap by half and the edges do not show.

Pre- and post-filtering in the pixel domain turn a block transform into a lapped one (Tran, Liang and Tu 2003, "Lapped
transform via time-domain pre- and post-processing"; the orthogonal filter of the fast lapped transform). The filter
takes the half patches on both sides of an edge; the image's border is left as it is.
"""

import math

import torch
from torch import Tensor


def overlap_filter(size: int) -> Tensor:
    """The filter over one edge between patches of `size` pixels (even): orthonormal [size, size]."""
    half = size // 2
    place, order = torch.arange(half, dtype=torch.float64), torch.arange(half, dtype=torch.float64)[:, None]
    dct2 = torch.cos(math.pi / half * (place + 0.5) * order) * math.sqrt(2 / half)
    dct2[0] /= math.sqrt(2)
    dct4 = torch.cos(math.pi / half * (place + 0.5) * (order + 0.5)) * math.sqrt(2 / half)
    one = torch.eye(half, dtype=torch.float64)
    mirror = one.flip(0)
    butterfly = torch.cat([torch.cat([one, mirror], 1), torch.cat([mirror, -one], 1)]) / math.sqrt(2)
    middle = torch.eye(size, dtype=torch.float64)
    middle[half:, half:] = mirror @ dct2.T @ dct4 @ mirror
    return (butterfly @ middle @ butterfly).float()


def filter_edges(frames: Tensor, matrix: Tensor) -> Tensor:
    """Frames [..., H, W, 3] with `matrix` applied across every patch edge, down and across; its transpose undoes it."""
    return _along(_along(frames, matrix, frames.ndim - 3), matrix, frames.ndim - 2)


def _along(frames: Tensor, matrix: Tensor, axis: int) -> Tensor:
    size, length = len(matrix), frames.shape[axis]
    half, edges = size // 2, length // size - 1
    inner = frames.narrow(axis, half, edges * size)
    cut = inner.reshape(*inner.shape[:axis], edges, size, *inner.shape[axis + 1 :])
    mixed = torch.tensordot(cut, matrix, ([axis + 1], [1])).movedim(-1, axis + 1).reshape(inner.shape)
    return torch.cat([frames.narrow(axis, 0, half), mixed, frames.narrow(axis, length - half, half)], axis)
