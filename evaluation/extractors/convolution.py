"""What all networks here share: convolutions in exact fp32 whose bits depend on nothing but their input.

On the CPU they call oneDNN directly: torch's own `conv2d` and `conv3d` hand many of a single image's or clip's to an
older kernel, twice as slow, whose last bits depend on the number of threads.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldmodel.errors import DataError

NORM_EPSILON = 1e-3  # of the batch normalisation in Google's networks


class Convolution(nn.Module):
    """A convolution [B, in, ...] to [B, out, ...], then ReLU.

    Args:
        kernel: [out, in, ...], with two or three axes of space and time.
        bias: [out].
        stride: along each axis.
        padding: zeros before and after each axis.
    """

    def __init__(self, kernel: Tensor, bias: Tensor, stride: int = 1, padding: Sequence[int] = (0, 0)) -> None:
        super().__init__()
        self.kernel = nn.Parameter(dense(kernel), requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.stride, self.padding = (stride,) * (kernel.ndim - 2), tuple(padding)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu_(convolve(x, self.kernel, self.bias, self.stride, self.padding))


def convolve(x: Tensor, kernel: Tensor, bias: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """The convolution of x [B, in, ...] with kernel [out, in, ...]; `padding` is the same before and after an axis."""
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return torch.mkldnn_convolution(x, kernel, bias, padding, stride, (1,) * len(stride), 1)
    convolution = functional.conv3d if x.ndim == 5 else functional.conv2d
    return convolution(x, kernel, bias, stride, padding)


def dense(values: Tensor) -> Tensor:
    """Channels last in memory, as oneDNN is quickest with: [B, C, H, W] or [B, C, T, H, W]."""
    kind = torch.channels_last_3d if values.ndim == 5 else torch.channels_last
    return values.contiguous(memory_format=kind)


def folded(kernel: Tensor, mean: Tensor, variance: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """A kernel [out, ...] and bias [out] in f32, batch normalisation without scale folded in: w / s, beta - mean / s.

    It is done in float64; features then differ from the unfolded network's by about 1e-6 of their norm.
    """
    scale = (variance.double().flatten() + NORM_EPSILON).sqrt()
    bias = beta.double().flatten() - mean.double().flatten() / scale
    return (kernel.double() / scale.view(-1, *[1] * (kernel.ndim - 1))).float(), bias.float()


@contextlib.contextmanager
def exact_fp32(device: str) -> Iterator[None]:
    """No gradients, autocast or TF32, whatever the caller has set."""
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), torch.autocast(torch.device(device).type, enabled=False), exact:
        yield


def check_images(images: object, name: str, least: tuple[int, int] = (1, 1)) -> None:
    """Refuses what is not uint8 [N, H, W, 3] with at least `least` rows and columns.

    Raises:
        DataError: naming `name`.
    """
    dtype, shape = str(getattr(images, "dtype", type(images).__name__)), list(getattr(images, "shape", ()))
    if dtype != "uint8" or len(shape) != 4 or shape[-1] != 3 or not shape[0]:
        raise DataError(f"{name}: not images", expected="uint8 [N, H, W, 3]", got=f"{dtype} {shape}")
    if shape[1] < least[0] or shape[2] < least[1]:
        rows, columns = least
        raise DataError(
            f"{name}: images too small", expected=f"at least {rows} x {columns} px", got=f"{shape[1]} x {shape[2]} px"
        )
