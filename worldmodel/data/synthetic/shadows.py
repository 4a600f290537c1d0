"""Shadows: boxes between a point and the sun, with soft edges, and dappled under leaves.

All shadow rays are parallel, so the slab test's divisions are done once per box. The softness of an edge comes from the
length that a ray runs inside a box, which grows with the distance from its outline.
"""

from collections.abc import Sequence

import numpy as np

from worldmodel.data.synthetic.solids import F32, F64, Index, Material, Solids
from worldmodel.data.synthetic.tracer import GROUP, Cutout

LEAF_FOOTPRINT_M = 0.2
LEAF_OPACITY = 0.75


class Shadows:
    """How much of the sun reaches points: boxes between a point and the sun, with soft edges.

    Args:
        sun: [3] unit vector towards the sun.
        solids: the casters.
        cutout: which points on foliage cards are leaf.
    """

    def __init__(self, sun: F32, solids: Solids, origin: F64, cutout: Cutout) -> None:
        casters = np.flatnonzero((solids.material != Material.ASPHALT) & (solids.material != Material.PAVEMENT))
        casters = casters[np.argsort(-solids.half[casters].sum(1), kind="stable")]
        self._rows = casters
        solids = solids.take(casters)
        self._offset = (solids.centre - origin).astype(np.float32)
        cosine, sine = solids.heading[:, 0], solids.heading[:, 1]
        self._cosine, self._sine, self._half = cosine, sine, np.ascontiguousarray(solids.half.T)
        along = np.stack(
            [cosine * sun[0] + sine * sun[1], cosine * sun[1] - sine * sun[0], np.full_like(cosine, sun[2])]
        )
        self._inverse = (1.0 / np.where(np.abs(along) < 1e-4, 1e-4, along)).astype(np.float32)
        self._reach = self._half * np.abs(self._inverse)
        self._sun, self._axes = sun, _frame_around(sun)
        self._is_card = solids.material == Material.FOLIAGE
        self._cutout = cutout
        spread = []
        for axis in (*self._axes, sun):
            along_x = np.abs(axis[0] * cosine + axis[1] * sine) * self._half[0]
            along_y = np.abs(axis[1] * cosine - axis[0] * sine) * self._half[1]
            spread.append((self._offset @ axis, along_x + along_y + abs(axis[2]) * self._half[2]))
        self._middle, self._extent = (np.stack(values) for values in zip(*spread, strict=True))

    def sunlight(self, points: F32, softness: F32) -> F32:
        """Share of the sun seen from points [P, 3] (relative to the origin); `softness` [P] is the blur in metres."""
        light = np.ones(len(points), np.float32)
        lit = np.arange(len(points))
        for group in self._blocking(points):
            light[lit] = np.minimum(light[lit], 1 - self._cover(points[lit], softness[lit], group))
            lit = lit[light[lit] > 0]
            if not len(lit):
                break
        return light

    def _blocking(self, points: F32) -> Sequence[Index]:
        """Casters whose shadow may fall on the points, in groups, the largest first."""
        keep = np.ones(len(self._offset), bool)
        for axis, row in zip(self._axes, (0, 1), strict=True):
            position = points @ axis
            low, high = self._middle[row] - self._extent[row], self._middle[row] + self._extent[row]
            keep &= (high >= position.min()) & (low <= position.max())
        keep &= self._middle[2] + self._extent[2] > (points @ self._sun).min()
        rows = np.flatnonzero(keep)
        return [rows[start : start + GROUP] for start in range(0, len(rows), GROUP)]

    def _cover(self, points: F32, softness: F32, group: Index) -> F32:
        x = points[:, 0:1] - self._offset[group, 0]
        y = points[:, 1:2] - self._offset[group, 1]
        z = points[:, 2:3] - self._offset[group, 2]
        cosine, sine = self._cosine[group], self._sine[group]
        enter = exit_ = None
        for axis, position in enumerate((cosine * x + sine * y, cosine * y - sine * x, z)):
            middle, reach = -position * self._inverse[axis, group], self._reach[axis, group]
            enter = middle - reach if enter is None else np.maximum(enter, middle - reach)
            exit_ = middle + reach if exit_ is None else np.minimum(exit_, middle + reach)
        assert enter is not None and exit_ is not None
        cover = np.clip((exit_ - np.maximum(enter, 0)) / softness[:, None], 0, 1)
        self._cut_cards(points, group, enter, cover)
        return np.asarray(cover.max(1))

    def _cut_cards(self, points: F32, group: Index, enter: F32, cover: F32) -> None:
        columns = np.flatnonzero(self._is_card[group])
        if not len(columns):
            return
        rays, hits = np.nonzero((cover[:, columns] > 0) & (enter[:, columns] > 0))
        columns = columns[hits]
        cards = group[columns]
        point = points[rays] + self._sun * enter[rays, columns][:, None] - self._offset[cards]
        u = self._cosine[cards] * point[:, 0] + self._sine[cards] * point[:, 1]
        leaf = self._cutout(self._rows[cards], u, point[:, 2], np.full(len(rays), LEAF_FOOTPRINT_M, np.float32))
        cover[rays, columns] = LEAF_OPACITY * leaf


def _frame_around(direction: F32) -> tuple[F32, F32]:
    """Two unit vectors at right angles to a direction and to each other."""
    helper = np.array([1, 0, 0] if abs(direction[0]) < 0.9 else [0, 1, 0], np.float32)
    first = np.cross(direction, helper)
    first /= np.linalg.norm(first)
    return first.astype(np.float32), np.cross(direction, first).astype(np.float32)
