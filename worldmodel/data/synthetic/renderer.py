"""One camera image of a scene: colour, z-depth and masks.

A ray through each pixel's centre gives depth and masks, exactly. Colour is filtered: textures filter themselves, and
where neighbouring pixels see different faces, four rays find out what shares the pixel (adaptive multisampling).
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.atmosphere import Atmosphere, tone
from worldmodel.data.synthetic.objects import leaf_cutout
from worldmodel.data.synthetic.scene import Scene
from worldmodel.data.synthetic.shading import shade
from worldmodel.data.synthetic.shadows import Shadows
from worldmodel.data.synthetic.solids import F32, F64, NO_OWNER, Index, Material
from worldmodel.data.synthetic.surface import Surface, hit_faces, surface_at
from worldmodel.data.synthetic.tracer import MISS, Tracer, bundle_planes
from worldmodel.geometry.poses import pixel_directions

TILE_PX = 16
MAX_DEPTH_M = 350.0
SHADOW_OFFSET_M = 0.02
_SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


@dataclass(frozen=True)
class Pinhole:
    """A camera's pixels as bundles of rays. K [3, 3] in pixels."""

    K: F64
    height: int
    width: int

    @cached_property
    def directions(self) -> F32:
        """Camera-frame directions [H*W, 3] with z = 1: the ray parameter is the z-depth."""
        return pixel_directions(self.K, self.height, self.width).reshape(-1, 3).astype(np.float32)

    @cached_property
    def tiles(self) -> list[Index]:
        """Pixel numbers of each tile."""
        numbers = np.arange(self.height * self.width).reshape(self.height, self.width)
        return [numbers[r : r + TILE_PX, c : c + TILE_PX].ravel() for r, c in self._corners]

    @cached_property
    def tile_directions(self) -> F32:
        """Corner directions [T, 4, 3] of each tile, camera frame."""
        rows = []
        for r, c in self._corners:
            bottom, right = min(r + TILE_PX, self.height), min(c + TILE_PX, self.width)
            rows.append([(c, r, 1), (right, r, 1), (right, bottom, 1), (c, bottom, 1)])
        pixels = np.array(rows, np.float64)
        return (pixels @ np.linalg.inv(self.K).T).astype(np.float32)

    @cached_property
    def pixel_angle(self) -> float:
        """Angle of one pixel at the image's centre, in radians."""
        return float(1 / self.K[0, 0])

    @property
    def _corners(self) -> list[tuple[int, int]]:
        return [(r, c) for r in range(0, self.height, TILE_PX) for c in range(0, self.width, TILE_PX)]


@dataclass(frozen=True)
class Image:
    """rgb [H, W, 3] uint8; depth [H, W] float32 metres, 0 = none; sky and dynamic [H, W] bool; agents seen."""

    rgb: NDArray[np.uint8]
    depth: F32
    sky: NDArray[np.bool_]
    dynamic: NDArray[np.bool_]
    seen: frozenset[int]


@dataclass(frozen=True)
class _Samples:
    """S rays whose weighted sum is each pixel's colour, tile by tile.

    Attributes:
        pixel: [S] the pixel each belongs to, and `weight` [S] its share of it.
        directions, t, solid: the rays [S, 3], their parameter and the solid they hit, or MISS.
        tile_sizes: how many belong to each tile.
    """

    pixel: Index
    weight: F32
    directions: F32
    t: F32
    solid: NDArray[np.int32]
    tile_sizes: tuple[int, ...]


def render(scene: Scene, camera: Pinhole, world_from_camera: F64, air: Atmosphere, gain: float) -> Image:
    """Renders one image; `gain` is its exposure beside the log's."""
    origin = world_from_camera[:3, 3]
    rotation = world_from_camera[:3, :3].astype(np.float32)
    tracer = Tracer(origin, scene.solids, camera.pixel_angle, partial(leaf_cutout, scene.solids))
    candidates = tracer.candidates(bundle_planes(camera.tile_directions @ rotation.T))
    directions = camera.directions @ rotation.T
    t = np.empty(len(directions), np.float32)
    solid = np.empty(len(directions), np.int32)
    for tile, near in zip(camera.tiles, candidates, strict=True):
        t[tile], solid[tile] = tracer.cast(directions[tile], near)
    solid[t > MAX_DEPTH_M] = MISS
    mixed = _mixed_pixels(_faces(scene, origin, directions, t, solid).reshape(camera.height, camera.width)).ravel()
    steps = rotation[:, 0] / np.float32(camera.K[0, 0]), rotation[:, 1] / np.float32(camera.K[1, 1])
    parts = []
    for tile, near in zip(camera.tiles, candidates, strict=True):
        plain, edge = tile[~mixed[tile]], tile[mixed[tile]]
        rays = np.concatenate([directions[edge] + dx * steps[0] + dy * steps[1] for dx, dy in _SUBPIXELS])
        parts.append(
            _tile_samples(plain, (directions[plain], t[plain], solid[plain]), edge, rays, tracer.cast(rays, near))
        )
    linear = _colours(_join(parts), scene, origin, air, camera, steps)
    return _image(tone(linear * np.float32(air.exposure * gain)), t, solid, scene, camera)


def _tile_samples(
    plain: Index,
    centres: tuple[F32, F32, NDArray[np.int32]],
    mixed: Index,
    rays: F32,
    hits: tuple[F32, NDArray[np.int32]],
) -> _Samples:
    """The centre's ray of plain pixels, and the rays of mixed ones, which come in len(_SUBPIXELS) rounds."""
    directions, t, solid = centres
    rounds = len(_SUBPIXELS)
    return _Samples(
        pixel=np.concatenate([plain, np.tile(mixed, rounds)]),
        weight=np.concatenate([np.ones(len(plain)), np.full(len(rays), 1 / rounds)]).astype(np.float32),
        directions=np.concatenate([directions, rays]),
        t=np.concatenate([t, hits[0]]),
        solid=np.concatenate([solid, np.where(hits[0] > MAX_DEPTH_M, MISS, hits[1])]),
        tile_sizes=(len(plain) + len(rays),),
    )


def _join(parts: list[_Samples]) -> _Samples:
    return _Samples(
        pixel=np.concatenate([part.pixel for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        directions=np.concatenate([part.directions for part in parts]),
        t=np.concatenate([part.t for part in parts]),
        solid=np.concatenate([part.solid for part in parts]),
        tile_sizes=tuple(size for part in parts for size in part.tile_sizes),
    )


def _faces(scene: Scene, origin: F64, directions: F32, t: F32, solid: NDArray[np.int32]) -> NDArray[np.int64]:
    """A number [S] for the face that each ray hits: -1 the sky, -2 leaves of any tree."""
    hit = np.flatnonzero(solid != MISS)
    leafy = scene.solids.material[solid[hit]] == Material.FOLIAGE
    _, _, axis = hit_faces(origin, directions[hit], t[hit], solid[hit], scene.solids)
    face = np.full(len(solid), -1, np.int64)
    face[hit] = np.where(leafy, -2, solid[hit] * 3 + axis)
    return face


def _mixed_pixels(face: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels [H, W] with a neighbour that sees another face."""
    mixed = np.zeros(face.shape, bool)
    across, down = face[:, 1:] != face[:, :-1], face[1:] != face[:-1]
    mixed[:, 1:] |= across
    mixed[:, :-1] |= across
    mixed[1:] |= down
    mixed[:-1] |= down
    return mixed


def _colours(
    samples: _Samples, scene: Scene, origin: F64, air: Atmosphere, camera: Pinhole, steps: tuple[F32, F32]
) -> F32:
    """Linear colour [H*W, 3]."""
    hit = np.flatnonzero(samples.solid != MISS)
    hit = hit[np.argsort(scene.solids.material[samples.solid[hit]], kind="stable")]
    surface = surface_at(origin, samples.directions[hit], samples.t[hit], samples.solid[hit], scene.solids, steps)
    sunlight = _sunlight(samples, hit, surface, scene, origin, air)
    rgb = np.empty((len(samples.pixel), 3), np.float32)
    rgb[hit] = shade(surface, sunlight, scene, origin, air)
    sky = np.flatnonzero(samples.solid == MISS)
    towards = samples.directions[sky]
    rgb[sky] = air.sky(towards / np.linalg.norm(towards, axis=1, keepdims=True), camera.pixel_angle)
    pixels = camera.height * camera.width
    weighted = rgb * samples.weight[:, None]
    return np.stack([np.bincount(samples.pixel, weighted[:, k], pixels) for k in range(3)], -1).astype(np.float32)


def _sunlight(samples: _Samples, hit: Index, surface: Surface, scene: Scene, origin: F64, air: Atmosphere) -> F32:
    """Share of the sun that reaches each surface sample; `hit` are their rows among the samples."""
    shadows = Shadows(air.sun, scene.solids, origin, partial(leaf_cutout, scene.solids))
    leafy = scene.solids.material[surface.solid] == Material.FOLIAGE
    facing = np.flatnonzero((surface.normal @ air.sun > 0) | leafy)
    points = surface.point[facing] + np.float32(SHADOW_OFFSET_M) * surface.normal[facing]
    softness = np.maximum(air.shadow_blur_m, surface.width[facing].max(1))
    order = np.argsort(hit[facing], kind="stable")
    ends = np.searchsorted(hit[facing][order], np.cumsum(samples.tile_sizes))
    light = np.ones(len(surface), np.float32)
    for rows in np.split(order, ends[:-1]):
        if len(rows):
            light[facing[rows]] = shadows.sunlight(points[rows], softness[rows])
    return light


def _image(rgb: F32, t: F32, solid: NDArray[np.int32], scene: Scene, camera: Pinhole) -> Image:
    shape = camera.height, camera.width
    sky = solid == MISS
    owner = np.where(sky, NO_OWNER, scene.solids.owner[solid])
    seen = np.unique(owner[owner != NO_OWNER])
    moving = np.array([agent.moving for agent, _ in scene.agents] + [False])
    return Image(
        rgb=(rgb * 255 + 0.5).astype(np.uint8).reshape(*shape, 3),
        depth=np.where(sky, np.float32(0), t).reshape(shape),
        sky=sky.reshape(shape),
        dynamic=moving[owner].reshape(shape),
        seen=frozenset(int(index) for index in seen),
    )
