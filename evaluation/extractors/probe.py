"""What every network must say of an input that a formula makes, before its weights are accepted.

The figures were read off once, after the networks had been found equal to independent implementations (see the tests);
I3D's are published. A wrong tensor, layout or padding moves them far beyond the tolerance, which leaves room for other
machines' rounding (1e-6).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.extractors.convolution import exact_fp32
from evaluation.extractors.dists import Dists
from evaluation.extractors.i3d import I3D, SIZE_PX
from evaluation.extractors.inception import Inception
from evaluation.extractors.lpips import Lpips
from evaluation.extractors.preprocess import for_inception
from evaluation.protocols import LpipsNet
from worldmodel.errors import DataError

PROBE_FRAMES = 16
TOLERANCE = 1e-4

_IMAGE_SIZE = (64, 96)


@dataclass(frozen=True)
class Probe:
    """What a network says of its probe: its first five numbers, the norm of all, and the place of the largest.

    The numbers are features, or what each layer adds to the distance of two images.
    """

    first: tuple[float, float, float, float, float]
    norm: float
    argmax: int


I3D_PROBE = Probe((-0.81739, 6.33596, 8.19145, 10.26848, -2.14277), 120.92739, 157)
INCEPTION_PROBE = Probe((1.194186, 0.016338, 0.008385, 0.004637, 0.008522), 22.412230, 102)
LPIPS_PROBES: Mapping[LpipsNet, Probe] = {
    "alex": Probe((0.012668460, 0.007722781, 0.009705289, 0.007256399, 0.003777460), 0.019525583, 0),
    "vgg": Probe((0.044526697, 0.013031529, 0.012947262, 0.021922831, 0.010764435), 0.054005210, 0),
}
DISTS_PROBE = Probe((0.003683251, 0.000134606, 0.000455052, 0.004830963, 0.038272992), 0.056448156, 5)


def probe_clip() -> Tensor:
    """[1, 3, 16, 224, 224] on [-1, 1]: sin(0.05 x (c + 1) + 0.3 t) cos(0.04 y - 0.2 t (c - 1)), x, y in pixels."""
    return _waves(PROBE_FRAMES, SIZE_PX, SIZE_PX)[None]


def probe_images() -> NDArray[np.uint8]:
    """[2, 64, 96, 3]: `probe_clip`'s formula at t = 0 and 1, as round(127.5 (1 + value))."""
    values = (127.5 * (1 + _waves(2, *_IMAGE_SIZE))).round()
    return np.ascontiguousarray(values.byte().permute(1, 2, 3, 0).numpy())


def probe_i3d(tensors: Mapping[str, Tensor]) -> Probe:
    """Runs I3D on the probe clip.

    Raises:
        DataError: it is not the network that FVD is defined on.
    """
    with exact_fp32("cpu"):
        return _accepted(I3D(tensors)(probe_clip())[0].double().numpy(), I3D_PROBE)


def probe_inception(tensors: Mapping[str, Tensor]) -> Probe:
    """Runs Inception on the first probe image.

    Raises:
        DataError: it is not the network that FID is defined on.
    """
    with exact_fp32("cpu"):
        features = Inception(tensors)(for_inception(probe_images()[:1]))[0]
        return _accepted(features.double().numpy(), INCEPTION_PROBE)


def probe_lpips_alex(tensors: Mapping[str, Tensor]) -> Probe:
    """Compares the probe images by AlexNet; raises DataError as `probe_i3d`."""
    return _probe_lpips("alex", tensors)


def probe_lpips_vgg(tensors: Mapping[str, Tensor]) -> Probe:
    """Compares the probe images by VGG16; raises DataError as `probe_i3d`."""
    return _probe_lpips("vgg", tensors)


def probe_dists(tensors: Mapping[str, Tensor]) -> Probe:
    """Compares the probe images by DISTS, whose tensors are those of `LPIPS_VGG` and its own weights.

    Raises:
        DataError: it is another network.
    """
    network = Dists(tensors=tensors)
    first, second = (network.features(probe_images()[at : at + 1]) for at in range(2))
    return _accepted(network.parts(first, second)[0], DISTS_PROBE)


def check_probe(found: Probe, expected: Probe) -> None:
    """Refuses figures that are off by more than `TOLERANCE` of the norm.

    Raises:
        DataError: with both.
    """
    pairs = zip((*found.first, found.norm), (*expected.first, expected.norm), strict=True)
    if found.argmax == expected.argmax and all(abs(a - b) <= TOLERANCE * expected.norm for a, b in pairs):
        return
    raise DataError("the network does not say of its probe what it should", expected=str(expected), got=str(found))


def _probe_lpips(net: LpipsNet, tensors: Mapping[str, Tensor]) -> Probe:
    network = Lpips(net, tensors=tensors)
    first, second = (network.features(probe_images()[at : at + 1]) for at in range(2))
    return _accepted(network.parts(first, second)[0], LPIPS_PROBES[net])


def _accepted(values: NDArray[np.float64], expected: Probe) -> Probe:
    a, b, c, d, e = values[:5].tolist()
    found = Probe((a, b, c, d, e), float(np.linalg.norm(values)), int(values.argmax()))
    check_probe(found, expected)
    return found


def _waves(frames: int, height: int, width: int) -> Tensor:
    c = torch.arange(3.0).view(3, 1, 1, 1)
    t = torch.arange(float(frames)).view(1, frames, 1, 1)
    y, x = torch.arange(float(height)).view(1, 1, height, 1), torch.arange(float(width)).view(1, 1, 1, width)
    return torch.sin(0.05 * x * (c + 1) + 0.3 * t) * torch.cos(0.04 * y - 0.2 * t * (c - 1))
