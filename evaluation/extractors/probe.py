"""What a feature network must say of a clip that a formula makes, before its weights are accepted.

The figures are those of the TF-Hub network in fp32, read off once; a wrong tensor, layout or padding moves them far
beyond the tolerance, which leaves room for other machines' rounding (1e-6).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.extractors.i3d import I3D, SIZE_PX
from worldmodel.errors import DataError

PROBE_FRAMES = 16
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Probe:
    """What a network says of `probe_clip`: its first five features, the norm of all, and the place of the largest."""

    first: tuple[float, float, float, float, float]
    norm: float
    argmax: int


I3D_PROBE = Probe((-0.81739, 6.33596, 8.19145, 10.26848, -2.14277), 120.92739, 157)


def probe_clip() -> Tensor:
    """[1, 3, 16, 224, 224] on [-1, 1]: sin(0.05 x (c + 1) + 0.3 t) cos(0.04 y - 0.2 t (c - 1)), x, y in pixels."""
    c = torch.arange(3.0).view(3, 1, 1, 1)
    t = torch.arange(float(PROBE_FRAMES)).view(1, PROBE_FRAMES, 1, 1)
    y, x = torch.arange(float(SIZE_PX)).view(1, 1, SIZE_PX, 1), torch.arange(float(SIZE_PX)).view(1, 1, 1, SIZE_PX)
    return (torch.sin(0.05 * x * (c + 1) + 0.3 * t) * torch.cos(0.04 * y - 0.2 * t * (c - 1)))[None]


def probe_i3d(tensors: Mapping[str, Tensor]) -> Probe:
    """Runs I3D on the probe clip.

    Raises:
        DataError: it is not the network that FVD is defined on.
    """
    with torch.inference_mode():
        logits = I3D(tensors)(probe_clip())[0].double()
    a, b, c, d, e = logits[:5].tolist()
    found = Probe((a, b, c, d, e), float(logits.norm()), int(logits.argmax()))
    check_probe(found, I3D_PROBE)
    return found


def check_probe(found: Probe, expected: Probe) -> None:
    """Refuses figures that are off by more than `TOLERANCE` of the norm.

    Raises:
        DataError: with both.
    """
    pairs = zip((*found.first, found.norm), (*expected.first, expected.norm), strict=True)
    if found.argmax == expected.argmax and all(abs(a - b) <= TOLERANCE * expected.norm for a, b in pairs):
        return
    raise DataError("the network does not say of the probe clip what it should", expected=str(expected), got=str(found))
