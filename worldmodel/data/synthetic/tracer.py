"""Ray casting against boxes: the slab test (Kay and Kajiya 1986), on bundles of rays in two levels.

A bundle is a small tile of rays from one origin. Level one keeps the boxes that reach inside the bundle's four side
planes, nearest first; level two tests them in groups, until all rays have hit something nearer than the next group.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.solids import F32, F64, Index, Material, Solids

GROUP = 12
NEAR_M = 0.2
MISS = np.int32(-1)

# (rows of solids, u, v, footprint) -> which of these points on cards are leaf
Cutout = Callable[[Index, F32, F32, F32], NDArray[np.bool_]]


class Tracer:
    """Casts rays from one origin.

    Args:
        origin: [3] world frame.
        solids: the scene.
        pixel_angle: angle between neighbouring rays, in radians; the footprint at which cards are cut out.
        cutout: which points on foliage cards are leaf.
    """

    def __init__(self, origin: F64, solids: Solids, pixel_angle: float, cutout: Cutout) -> None:
        offset = (solids.centre - origin).astype(np.float32)
        cosine, sine = solids.heading[:, 0], solids.heading[:, 1]
        local = np.stack(
            [cosine * offset[:, 0] + sine * offset[:, 1], cosine * offset[:, 1] - sine * offset[:, 0], offset[:, 2]]
        )
        half = np.ascontiguousarray(solids.half.T)
        outside = np.maximum(np.abs(local) - half, 0)
        distance = np.sqrt((outside**2).sum(0))
        self._order = np.argsort(distance, kind="stable")
        self._nearest = distance[self._order]
        self._offset, self._local, self._half = offset[self._order], local[:, self._order], half[:, self._order]
        self._cosine, self._sine = cosine[self._order], sine[self._order]
        self._table = np.concatenate([self._cosine[None], self._sine[None], self._local, self._half])
        self._is_card = (solids.material == Material.FOLIAGE)[self._order]
        self._pixel_angle, self._cutout = pixel_angle, cutout

    def candidates(self, planes: F32) -> list[Index]:
        """For each of T bundles, what may be hit, nearest first. `planes` are [T, 4, 3] inward normals."""
        normals = planes.reshape(-1, 3)
        towards = normals @ self._offset.T
        x, y = normals[:, 0:1], normals[:, 1:2]
        towards += np.abs(x * self._cosine + y * self._sine) * self._half[0]
        towards += np.abs(y * self._cosine - x * self._sine) * self._half[1]
        towards += np.abs(normals[:, 2:3]) * self._half[2]
        least = towards.reshape(len(planes), 4, -1).min(1)
        return [np.flatnonzero(row >= 0) for row in least]

    def cast(self, directions: F32, candidates: Index, reach: float = np.inf) -> tuple[F32, NDArray[np.int32]]:
        """Ray parameter and index of the solid that each of P rays [P, 3] hits first; inf and MISS where none."""
        best_t = np.full(len(directions), np.inf, np.float32)
        best = np.full(len(directions), MISS, np.int32)
        if not len(directions):
            return best_t, best
        longest = float(np.sqrt(np.einsum("pk,pk->p", directions, directions).max()))
        for start in range(0, len(candidates), GROUP):
            group = candidates[start : start + GROUP]
            if self._nearest[group[0]] > min(reach, float(best_t.max())) * longest:
                break
            t = self._slabs(directions, group)
            t[t >= best_t[:, None]] = np.inf
            self._cut_cards(directions, group, t)
            column = t.argmin(1)
            nearest = t[np.arange(len(t)), column]
            closer = nearest < best_t
            best_t = np.where(closer, nearest, best_t)
            best = np.where(closer, self._order[group][column], best).astype(np.int32)
        return best_t, best

    def _slabs(self, directions: F32, group: Index) -> F32:
        """Entry parameter [P, K] of each ray into each box, inf where it misses."""
        cosine, sine, *boxes = self._table[:, group]
        dx, dy, dz = directions[:, 0:1], directions[:, 1:2], directions[:, 2:3]
        enter, leave = _slab(dz, boxes[2], boxes[5])
        for along, middle, half in (
            (dx * cosine + dy * sine, boxes[0], boxes[3]),
            (dy * cosine - dx * sine, boxes[1], boxes[4]),
        ):
            near, far = _slab(along, middle, half)
            enter, leave = np.maximum(enter, near, out=near), np.minimum(leave, far, out=far)
        return np.where((enter < leave) & (enter > NEAR_M), enter, np.float32(np.inf))

    def _cut_cards(self, directions: F32, group: Index, t: F32) -> None:
        """Lets rays through between the leaves, in place."""
        columns = np.flatnonzero(self._is_card[group])
        if not len(columns):
            return
        rays, hits = np.nonzero(np.isfinite(t[:, columns]))
        columns = columns[hits]
        cards = group[columns]
        point = directions[rays] * t[rays, columns][:, None]
        u = self._cosine[cards] * point[:, 0] + self._sine[cards] * point[:, 1] - self._local[0, cards]
        v = point[:, 2] - self._local[2, cards]
        gap = ~self._cutout(self._order[cards], u, v, t[rays, columns] * self._pixel_angle)
        t[rays[gap], columns[gap]] = np.inf


def _slab(along: F32, middle: F32, half: F32) -> tuple[F32, F32]:
    """Where rays enter and leave the slab between two faces; `along` is the ray's component normal to them."""
    inverse = np.float32(1.0) / (along + np.float32(1e-9))
    centre = middle * inverse
    reach = half * np.abs(inverse, out=inverse)
    return centre - reach, centre + reach


def bundle_planes(corners: F32) -> F32:
    """Inward side planes [T, 4, 3] of bundles with corner directions [T, 4, 3] in order around the bundle."""
    normals = np.cross(corners, np.roll(corners, -1, axis=1))
    middle = corners.mean(1, keepdims=True)
    side = np.sign((normals * middle).sum(-1, keepdims=True))
    return np.asarray(normals * side, np.float32)
