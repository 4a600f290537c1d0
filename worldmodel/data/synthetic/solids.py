"""Everything that can be hit is a box turned about the vertical; a scene is a structure of arrays of them.

A box of (almost) no thickness is a card; the FOLIAGE material cuts leaves out of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

# float32 arrays: numpy types their products with Python floats as float64, so strict checking needs the wider name
F32 = NDArray[np.floating[Any]]
F64 = NDArray[np.float64]
Index = NDArray[np.intp]

NO_OWNER = -1
STYLE_SIZE = 6


class Material(IntEnum):
    """What a box is made of; `materials.py` paints each one."""

    ASPHALT = 0
    PAVEMENT = 1
    FACADE = 2
    CAR_BODY = 3
    CAR_CABIN = 4
    PLAIN = 5
    FOLIAGE = 6
    LAMP = 7


@dataclass(frozen=True)
class Solids:
    """N boxes.

    Attributes:
        centre: [N, 3] metres, world frame.
        half: [N, 3] half sizes along the box's own axes.
        heading: [N, 2] cosine and sine of the yaw.
        material: [N] values of `Material`.
        colour: [N, 3] linear albedo.
        style: [N, STYLE_SIZE] numbers whose meaning the material defines.
        owner: [N] index of the agent it is a part of, or NO_OWNER.
    """

    centre: F64
    half: F32
    heading: F32
    material: NDArray[np.int16]
    colour: F32
    style: F32
    owner: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Solids":
        """The boxes at `index`."""
        return Solids(*(getattr(self, field.name)[index] for field in fields(self)))


def concatenate(parts: Sequence[Solids]) -> Solids:
    """All boxes of all parts, in order."""
    return Solids(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Solids)))


Vector = tuple[float, float, float]


class SolidsBuilder:
    """Collects boxes one by one."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []

    def add(
        self,
        centre: Vector,
        size: Vector,
        material: Material,
        colour: Sequence[float],
        *,
        yaw: float = 0.0,
        style: Sequence[float] = (),
        owner: int = NO_OWNER,
    ) -> None:
        """One box of the given full size, its centre in the world and its yaw in radians."""
        padding = (0.0,) * (STYLE_SIZE - len(style))
        self._rows.append((*centre, *size, yaw, material, owner, *colour, *style, *padding))

    def build(self) -> Solids:
        """The boxes so far."""
        table = np.array(self._rows, dtype=np.float64).reshape(-1, 12 + STYLE_SIZE)
        return Solids(
            centre=table[:, 0:3],
            half=np.maximum(table[:, 3:6] / 2, 1e-3).astype(np.float32),
            heading=np.stack([np.cos(table[:, 6]), np.sin(table[:, 6])], -1).astype(np.float32),
            material=table[:, 7].astype(np.int16),
            colour=table[:, 9:12].astype(np.float32),
            style=table[:, 12:].astype(np.float32),
            owner=table[:, 8].astype(np.int32),
        )
