"""From surface samples to linear colour: paint, sun and shadow, sky light, lamps at night, reflection of the sky."""

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.atmosphere import Atmosphere
from worldmodel.data.synthetic.facade import paint_facade
from worldmodel.data.synthetic.objects import (
    LEAF_TEXELS_PER_M,
    paint_car_body,
    paint_car_cabin,
    paint_lamp,
    paint_leaves,
    paint_plain,
)
from worldmodel.data.synthetic.paint import Canvas
from worldmodel.data.synthetic.road import paint_asphalt, paint_pavement
from worldmodel.data.synthetic.scene import Scene
from worldmodel.data.synthetic.solids import F32, F64, Material
from worldmodel.data.synthetic.surface import Surface
from worldmodel.data.synthetic.textures import noise

_PAINTERS = {
    Material.FACADE: paint_facade,
    Material.PAVEMENT: paint_pavement,
    Material.CAR_BODY: paint_car_body,
    Material.CAR_CABIN: paint_car_cabin,
    Material.FOLIAGE: paint_leaves,
    Material.PLAIN: paint_plain,
    Material.LAMP: paint_lamp,
}
# noise texels per metre
_GRAIN = np.zeros(len(Material), np.float32)
_GRAIN[[Material.ASPHALT, Material.PAVEMENT, Material.FACADE]] = 16.0, 20.0, 14.0
_GRAIN[[Material.CAR_BODY, Material.CAR_CABIN, Material.PLAIN, Material.LAMP]] = 4.0, 4.0, 30.0, 1.0
_GRAIN[Material.FOLIAGE] = LEAF_TEXELS_PER_M
LAMP_REACH_M = 32.0
LAMP_POWER = 9.0
LAMP_RGB = np.array([1.0, 0.74, 0.45], np.float32)
HEAD_LAMP_POWER = 60.0
HEAD_LAMP_RGB = np.array([1.0, 0.95, 0.86], np.float32)


def shade(surface: Surface, sunlight: F32, scene: Scene, origin: F64, air: Atmosphere) -> F32:
    """Linear colour [S, 3].

    Args:
        surface: what the samples hit, sorted by material.
        sunlight: [S] share of the sun that reaches each.
        scene: the instant.
        origin: [3] camera centre.
        air: the log's light.
    """
    albedo, emission, gloss = _painted(surface, scene, air.lamps)
    material = scene.solids.material[surface.solid]
    if air.wet:
        _wet_ground(surface, material, albedo, gloss, air.wet)
    towards_sun = surface.normal @ air.sun
    cosine = np.where(material == Material.FOLIAGE, 0.25 + 0.4 * np.abs(towards_sun), np.maximum(towards_sun, 0))
    openness = 0.72 + 0.28 * surface.normal[:, 2]
    light = air.ambient_rgb * openness[:, None] + air.sun_rgb * (cosine * sunlight)[:, None]
    if air.lamps == 1.0:
        light = light + _lamp_light(surface, scene, origin)
    return air.through_air(_mirrored(surface, albedo * light + emission, gloss, air), surface.distance)


def _wet_ground(surface: Surface, material: NDArray[np.int16], albedo: F32, gloss: F32, wet: float) -> None:
    flat = (surface.normal[:, 2] > 0.5) & ((material == Material.ASPHALT) | (material == Material.PAVEMENT))
    albedo[flat] *= 1 - 0.45 * wet
    gloss[flat] = 0.3 * wet


def _mirrored(surface: Surface, rgb: F32, gloss: F32, air: Atmosphere) -> F32:
    """Adds the mirrored sky by Schlick's approximation of Fresnel reflection; the scene itself is not mirrored."""
    view = surface.point / surface.distance[:, None]
    facing = np.clip(-_dot(view, surface.normal), 0, 1)
    mirror = gloss * (0.06 + 0.94 * (1 - facing) ** 5)
    reflected_up = view[:, 2] + 2 * facing * surface.normal[:, 2]
    return rgb + mirror[:, None] * (air.gradient(np.abs(reflected_up)) - rgb)


def _painted(surface: Surface, scene: Scene, lamps: float) -> tuple[F32, F32, F32]:
    solids = scene.solids
    material = solids.material[surface.solid]
    albedo = solids.colour[surface.solid]
    emission, gloss = np.zeros_like(albedo), np.zeros(len(albedo), np.float32)
    grain = _grain(surface, scene)
    edges = np.searchsorted(material, np.arange(len(Material) + 1))
    for kind, first, last in zip(Material, edges[:-1], edges[1:], strict=True):
        if first == last:
            continue
        rows = slice(first, last)
        solid = surface.solid[rows]
        canvas = Canvas(
            surface.take(rows), solids.half[solid], solids.colour[solid], solids.style[solid], grain[rows],
            lamps, albedo[rows], emission[rows], gloss[rows],
        )  # fmt: skip
        if kind == Material.ASPHALT:
            paint_asphalt(canvas, scene.lines)
        else:
            _PAINTERS[kind](canvas)
    return np.maximum(albedo, 0), emission, gloss


def _grain(surface: Surface, scene: Scene) -> F32:
    solids = scene.solids
    material = solids.material[surface.solid]
    scale = _GRAIN[material]
    level = material == Material.ASPHALT
    shift = solids.style[surface.solid, 5] * 7 + solids.style[surface.solid, 0] * (material == Material.FOLIAGE)
    u = np.where(level, surface.ground[:, 0], surface.uv[:, 0] + shift) * scale
    v = np.where(level, surface.ground[:, 1], surface.uv[:, 1] + shift) * scale
    return noise(u, v, np.sqrt(surface.width[:, 0] * surface.width[:, 1]) * scale)


def _lamp_light(surface: Surface, scene: Scene, origin: F64) -> F32:
    """Light [S, 3] of the street lamps near the camera and of the ego's head lamps."""
    light = _head_lamp_light(surface, scene, origin)
    offsets = (scene.lamps - origin).astype(np.float32)
    for lamp in offsets[np.hypot(offsets[:, 0], offsets[:, 1]) < LAMP_REACH_M]:
        to_lamp = lamp - surface.point
        squared = _dot(to_lamp, to_lamp)
        facing = np.maximum(_dot(to_lamp, surface.normal), 0)
        down = np.maximum(to_lamp[:, 2], 0)
        light += (LAMP_POWER * facing * down / (squared * (squared + 4)))[:, None] * LAMP_RGB
    return light


def _head_lamp_light(surface: Surface, scene: Scene, origin: F64) -> F32:
    x, y, yaw = scene.ego
    forward = np.array([np.cos(yaw), np.sin(yaw), 0])
    lamp = np.array([x, y, 0.7]) + 2.0 * forward
    beam = surface.point + (origin - lamp).astype(np.float32)
    squared = _dot(beam, beam) + 1
    spread = np.maximum(beam @ forward.astype(np.float32), 0) ** 12 / squared**6
    facing = np.clip(-_dot(beam, surface.normal) / np.sqrt(squared), 0, 1) * 0.85 + 0.15
    return np.asarray((HEAD_LAMP_POWER * spread * facing / (squared + 30))[:, None] * HEAD_LAMP_RGB)


def _dot(a: F32, b: F32) -> F32:
    return np.asarray(np.einsum("sk,sk->s", a, b))
