"""What a painter gets and what it fills in."""

from dataclasses import dataclass

import numpy as np

from worldmodel.data.synthetic.solids import F32
from worldmodel.data.synthetic.surface import Surface


@dataclass(frozen=True)
class Canvas:
    """Samples of one material, and what to paint on. A painter writes `albedo`, `emission` and `gloss` in place.

    Attributes:
        surface: S samples.
        half, colour, style: of each sample's box.
        grain: [S] noise of unit deviation, filtered.
        lamps: whether lamps and windows are lit, 0 to 1.
        albedo: [S, 3] filled with `colour`; `emission` [S, 3] zeros; `gloss` [S] zeros.
    """

    surface: Surface
    half: F32
    colour: F32
    style: F32
    grain: F32
    lamps: float
    albedo: F32
    emission: F32
    gloss: F32

    def cover(self, share: F32, rgb: F32 | tuple[float, float, float], gloss: float | None = None) -> None:
        """Paints `rgb` over a share [S] of each sample."""
        self.albedo[:] += share[:, None] * (np.asarray(rgb, np.float32) - self.albedo)
        if gloss is not None:
            self.gloss[:] += share * (np.float32(gloss) - self.gloss)

    def darken(self, share: F32, factor: float) -> None:
        """Multiplies a share [S] of each sample by `factor`."""
        self.albedo[:] *= (1 - share * (1 - factor))[:, None]
