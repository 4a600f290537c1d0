"""A spinning LiDAR on the roof: rings of rays against the same boxes that the cameras see.

Range noise and dropped returns are drawn per frame; rolling scan time, intensity and multiple returns are left out.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.objects import leaf_cutout
from worldmodel.data.synthetic.scene import Scene
from worldmodel.data.synthetic.solids import F32, F64
from worldmodel.data.synthetic.tracer import MISS, Tracer, bundle_planes

POSITION_M = (0.9, 0.0, 1.9)
ELEVATION_DEG = (-24.0, 8.0)
RANGE_M = 75.0
NOISE_M = 0.02
DROPPED = 0.02
BUNDLES = 12
BEAM_RAD = 0.003


class Lidar:
    """The scan pattern: `rings` elevations at `azimuths` directions, in bundles of neighbouring azimuths."""

    def __init__(self, rings: int, azimuths: int) -> None:
        angles = np.arange(azimuths) * (2 * np.pi / azimuths)
        elevations = np.deg2rad(np.linspace(*ELEVATION_DEG, rings))
        self._bundles = [_directions(part, elevations) for part in np.array_split(angles, BUNDLES)]
        edge = 0.75 * np.pi / azimuths
        spans = [(part[0] - edge, part[-1] + edge) for part in np.array_split(angles, BUNDLES)]
        high = np.deg2rad(80.0)
        self._corners = np.stack([_corner(low, up, high) for low, up in spans])

    def scan(self, scene: Scene, world_from_ego: F64, rng: np.random.Generator) -> tuple[F32, frozenset[int]]:
        """Returns [P, 3] in the ego frame, and the agents that were hit."""
        rotation = world_from_ego[:3, :3].astype(np.float32)
        origin = world_from_ego[:3, :3] @ np.array(POSITION_M) + world_from_ego[:3, 3]
        tracer = Tracer(origin, scene.solids, BEAM_RAD, partial(leaf_cutout, scene.solids))
        candidates = tracer.candidates(bundle_planes(self._corners @ rotation.T))
        points, solids = [], []
        for bundle, near in zip(self._bundles, candidates, strict=True):
            distance, solid = tracer.cast(bundle @ rotation.T, near, RANGE_M)
            noisy = distance + rng.normal(0, NOISE_M, len(distance)).astype(np.float32)
            kept = (solid != MISS) & (distance < RANGE_M) & (rng.random(len(distance)) > DROPPED)
            points.append(bundle[kept] * noisy[kept, None] + np.array(POSITION_M, np.float32))
            solids.append(solid[kept])
        owner = np.unique(scene.solids.owner[np.concatenate(solids)])
        return np.concatenate(points), frozenset(int(index) for index in owner if index >= 0)


def _directions(azimuths: F64, elevations: F64) -> F32:
    azimuth, elevation = (grid.ravel() for grid in np.meshgrid(azimuths, elevations))
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], -1).astype(np.float32)


def _corner(low: float, up: float, high: float) -> NDArray[np.float32]:
    corners = [(low, high), (up, high), (up, -high), (low, -high)]
    return np.stack([_directions(np.array([a]), np.array([e]))[0] for a, e in corners])
