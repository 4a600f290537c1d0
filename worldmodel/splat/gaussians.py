"""The set of Gaussians that the rasterizers draw, and what they return."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Gaussians:
    """N anisotropic 3D Gaussians, all values after activation.

    Attributes:
        means: [N, 3] metres.
        quats: [N, 4] wxyz, any non-zero length.
        scales: [N, 3] metres, standard deviations along the local axes.
        opacities: [N] in [0, 1].
        colors: [N, 3], or [N, D] features.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor

    def __len__(self) -> int:
        return len(self.means)


class Rendering(NamedTuple):
    """Images of C cameras: rgb [C, H, W, D] over black, expected z-depth [C, H, W] in metres, alpha [C, H, W]."""

    rgb: Tensor
    depth: Tensor
    alpha: Tensor
