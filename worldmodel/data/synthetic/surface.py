"""Where rays hit: position, face, face coordinates, and the pixel's footprint there (ray differentials, Igehy 1999)."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.solids import F32, F64, Index, Solids


@dataclass(frozen=True)
class Surface:
    """S samples.

    Attributes:
        solid: [S] rows of the scene's solids.
        point: [S, 3] relative to the camera's centre, world axes; `ground` is [S, 2] world x, y.
        normal: [S, 3] world axes.
        axis: [S] the box axis that the face is normal to; `side` its sign (as float).
        uv: [S, 2] metres along the face from its centre: (y, z), (x, z) or (x, y) of the box.
        width: [S, 2] the pixel footprint along u and v, metres.
        distance: [S] metres from the camera.
    """

    solid: NDArray[np.int32]
    point: F32
    ground: F32
    normal: F32
    axis: NDArray[np.intp]
    side: F32
    uv: F32
    width: F32
    distance: F32

    def __len__(self) -> int:
        return len(self.solid)

    def take(self, index: Index | slice) -> "Surface":
        """The samples at `index`."""
        return Surface(*(getattr(self, field.name)[index] for field in fields(self)))


def hit_faces(
    origin: F64, directions: F32, t: F32, solid: NDArray[np.int32], solids: Solids
) -> tuple[F32, F32, NDArray[np.intp]]:
    """Box-frame hit positions and directions [S, 3], and the axis of the face that each ray entered through."""
    point = directions * t[:, None] - (solids.centre - origin).astype(np.float32)[solid]
    local, along = _turn(point, solids.heading[solid]), _turn(directions, solids.heading[solid])
    outside = (-np.sign(along) * solids.half[solid] - local) / np.where(np.abs(along) < 1e-7, np.float32(1e-7), along)
    return local, along, outside.argmax(1)


def surface_at(
    origin: F64, directions: F32, t: F32, solid: NDArray[np.int32], solids: Solids, steps: tuple[F32, F32]
) -> Surface:
    """Samples where rays hit.

    Args:
        origin: [3] camera centre.
        directions: [S, 3] with ray parameter t [S], which hit rows `solid` [S] of `solids`.
        steps: change of the direction, world axes, from one pixel to the next in x and in y.
    """
    local, along, axis = hit_faces(origin, directions, t, solid, solids)
    rows = np.arange(len(solid))
    heading = solids.heading[solid]
    side = -np.sign(along[rows, axis])
    normal_local = np.zeros_like(local)
    normal_local[rows, axis] = side
    u_axis, v_axis = np.where(axis == 0, 1, 0), np.where(axis == 2, 1, 2)
    slope_u = along[rows, u_axis] / along[rows, axis]
    slope_v = along[rows, v_axis] / along[rows, axis]
    width = np.zeros((len(solid), 2), np.float32)
    for step in steps:
        turned = _turn(np.broadcast_to(step, directions.shape), heading)
        across = turned[rows, axis]
        width[:, 0] += np.abs(turned[rows, u_axis] - slope_u * across)
        width[:, 1] += np.abs(turned[rows, v_axis] - slope_v * across)
    point = directions * t[:, None]
    return Surface(
        solid=solid,
        point=point,
        ground=(point[:, :2] + origin[:2]).astype(np.float32),
        normal=_turn_back(normal_local, heading),
        axis=axis,
        side=side,
        uv=np.stack([local[rows, u_axis], local[rows, v_axis]], -1),
        width=width * t[:, None],
        distance=np.sqrt(np.einsum("sk,sk->s", point, point)),
    )


def _turn(vectors: F32, heading: F32) -> F32:
    """World axes to box axes."""
    cosine, sine = heading[:, 0], heading[:, 1]
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, vectors[:, 2]], -1)


def _turn_back(vectors: F32, heading: F32) -> F32:
    cosine, sine = heading[:, 0], heading[:, 1]
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, vectors[:, 2]], -1)
