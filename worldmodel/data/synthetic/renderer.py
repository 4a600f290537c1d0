"""One camera image of a scene: colour, z-depth and masks.

A ray through each pixel's centre gives depth and masks, exactly. Colour is filtered: textures filter themselves, and where
neighbouring pixels see different faces four more rays find out what shares the pixel (as adaptive multisampling does).
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.atmosphere import Atmosphere, tone
from worldmodel.data.synthetic.objects import leaf_cutout
from worldmodel.data.synthetic.scene import Scene
from worldmodel.data.synthetic.shading import shade
from worldmodel.data.synthetic.solids import F32, F64, NO_OWNER, Index, Material
from worldmodel.data.synthetic.surface import hit_faces, surface_at
from worldmodel.data.synthetic.tracer import MISS, Shadows, Tracer, bundle_planes
from worldmodel.geometry.poses import pixel_directions

TILE_PX = 16
MAX_DEPTH_M = 350.0
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


def render(scene: Scene, camera: Pinhole, world_from_camera: F64, air: Atmosphere, gain: float) -> Image:
    """Renders one image; `gain` is its exposure beside the log's."""
    origin = world_from_camera[:3, 3]
    rotation = world_from_camera[:3, :3].astype(np.float32)
    cutout = partial(leaf_cutout, scene.solids)
    tracer = Tracer(origin, scene.solids, camera.pixel_angle, cutout)
    candidates = tracer.candidates(bundle_planes(camera.tile_directions @ rotation.T))
    directions = camera.directions @ rotation.T
    t = np.empty(len(directions), np.float32)
    solid = np.empty(len(directions), np.int32)
    for tile, near in zip(camera.tiles, candidates, strict=True):
        t[tile], solid[tile] = tracer.cast(directions[tile], near)
    solid[t > MAX_DEPTH_M] = MISS
    mixed = _mixed_pixels(scene, origin, directions, t, solid, camera)
    steps = rotation[:, 0] / np.float32(camera.K[0, 0]), rotation[:, 1] / np.float32(camera.K[1, 1])
    samples = _Samples(directions, t, solid, camera, steps)
    samples.refine(mixed, tracer, candidates)
    linear = _colours(samples, scene, origin, air, Shadows(air.sun, scene.solids, origin, cutout))
    rgb = tone(linear * np.float32(air.exposure * gain))
    return _image(rgb, t, solid, scene, camera)


class _Samples:
    """Rays whose mean is each pixel's colour: its centre's, or four in a mixed pixel; kept tile by tile."""

    def __init__(self, directions: F32, t: F32, solid: NDArray[np.int32], camera: Pinhole, steps: tuple[F32, F32]) -> None:
        self.centre = directions, t, solid
        self.camera, self.steps = camera, steps

    def refine(self, mixed: NDArray[np.bool_], tracer: Tracer, candidates: list[Index]) -> None:
        """Replaces the ray of each mixed pixel by four."""
        directions, t, solid = self.centre
        parts = []
        for tile, near in zip(self.camera.tiles, candidates, strict=True):
            plain, edge = tile[~mixed[tile]], tile[mixed[tile]]
            parts.append((plain, directions[plain], t[plain], solid[plain], np.ones(len(plain), np.float32)))
            rays = np.concatenate([directions[edge] + dx * self.steps[0] + dy * self.steps[1] for dx, dy in _SUBPIXELS])
            sub_t, sub_solid = tracer.cast(rays, near)
            sub_solid[sub_t > MAX_DEPTH_M] = MISS
            parts.append((np.tile(edge, 4), rays, sub_t, sub_solid, np.full(len(rays), 0.25, np.float32)))
        self.tile_sizes = [len(a[0]) + len(b[0]) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        self.pixel, self.directions, self.t, self.solid, self.weight = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )


def _mixed_pixels(
    scene: Scene, origin: F64, directions: F32, t: F32, solid: NDArray[np.int32], camera: Pinhole
) -> NDArray[np.bool_]:
    """Pixels [H*W] with a neighbour that sees another face (all leaves count as one)."""
    hit = np.flatnonzero(solid != MISS)
    face = np.full(len(solid), -1, np.int64)
    leafy = scene.solids.material[solid[hit]] == Material.FOLIAGE
    _, _, axis = hit_faces(origin, directions[hit], t[hit], solid[hit], scene.solids)
    face[hit] = np.where(leafy, -2, solid[hit] * 3 + axis)
    face = face.reshape(camera.height, camera.width)
    mixed = np.zeros(face.shape, bool)
    across, down = face[:, 1:] != face[:, :-1], face[1:] != face[:-1]
    mixed[:, 1:] |= across
    mixed[:, :-1] |= across
    mixed[1:] |= down
    mixed[:-1] |= down
    return mixed.ravel()


def _colours(samples: _Samples, scene: Scene, origin: F64, air: Atmosphere, shadows: Shadows) -> F32:
    """Linear colour [H*W, 3]."""
    hit = samples.solid != MISS
    rows = np.flatnonzero(hit)
    rows = rows[np.argsort(scene.solids.material[samples.solid[rows]], kind="stable")]
    surface = surface_at(origin, samples.directions[rows], samples.t[rows], samples.solid[rows], scene.solids, samples.steps)
    sunlight = np.ones(len(samples.pixel), np.float32)
    facing = np.zeros(len(samples.pixel), bool)
    facing[rows] = surface.normal @ air.sun > 0
    lifted = np.zeros((len(samples.pixel), 3), np.float32)
    lifted[rows] = surface.point + np.float32(0.02) * surface.normal
    softness = np.full(len(samples.pixel), air.shadow_blur_m, np.float32)
    softness[rows] = np.maximum(air.shadow_blur_m, surface.width.max(1))
    start = 0
    for size in samples.tile_sizes:
        lit = start + np.flatnonzero(facing[start : start + size])
        start += size
        if len(lit):
            sunlight[lit] = shadows.sunlight(lifted[lit], softness[lit])
    rgb = np.empty((len(samples.pixel), 3), np.float32)
    rgb[rows] = shade(surface, sunlight[rows], scene, origin, air)
    sky = np.flatnonzero(~hit)
    towards = samples.directions[sky]
    towards = towards / np.sqrt(np.einsum("sk,sk->s", towards, towards))[:, None]
    rgb[sky] = air.sky(towards, samples.camera.pixel_angle)
    pixels = samples.camera.height * samples.camera.width
    weighted = rgb * samples.weight[:, None]
    return np.stack([np.bincount(samples.pixel, weighted[:, k], pixels) for k in range(3)], -1).astype(np.float32)


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
