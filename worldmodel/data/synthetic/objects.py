"""Paint of everything that is neither ground nor house: vehicles, leaves, posts and lamps."""

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.synthetic.paint import Canvas
from worldmodel.data.synthetic.solids import F32, Index, Solids
from worldmodel.data.synthetic.textures import band, noise, pulse

GLASS = (0.02, 0.025, 0.03)
RUBBER = (0.012, 0.012, 0.013)
HEAD_LAMP = np.array([1.0, 0.95, 0.85], np.float32)
TAIL_LAMP = np.array([0.7, 0.03, 0.02], np.float32)
LEAF_TEXELS_PER_M = 14.0


def paint_car_body(canvas: Canvas) -> None:
    """Paintwork, wheels on the sides, lamps and plates at the ends, shade underneath."""
    surface, half = canvas.surface, canvas.half
    u, z = surface.uv[:, 0], surface.uv[:, 1] + half[:, 2]
    wu, wz = surface.width[:, 0], surface.width[:, 1]
    flank, end = surface.axis == 1, surface.axis == 0
    canvas.gloss[:] = 0.6
    upright = (flank | end).astype(np.float32)
    canvas.cover(band(z, wz, 0, 0.2) * upright, RUBBER, gloss=0.0)
    seams = pulse(u / 1.05 + 0.3, wu / 1.05, 0.03) * band(np.abs(u), wu, 0, 0.55 * half[:, 0]) * flank
    canvas.darken(seams, 0.4)
    from_axle = np.hypot(np.abs(u) - 0.62 * half[:, 0], z - 0.33)
    blur = np.maximum(wu, wz)
    canvas.cover(np.clip((0.36 - from_axle) / np.maximum(blur, 0.01) + 0.5, 0, 1) * flank, RUBBER, gloss=0.0)
    canvas.cover(np.clip((0.2 - from_axle) / np.maximum(blur, 0.01) + 0.5, 0, 1) * flank, (0.3, 0.3, 0.31))
    lamp = band(np.abs(u), wu, 0.55 * half[:, 1], 0.95 * half[:, 1]) * band(z, wz, 0.52, 0.74) * end
    front = surface.side > 0
    colour = np.where(front[:, None], HEAD_LAMP * 0.8, TAIL_LAMP)
    canvas.cover(lamp, colour, gloss=0.5)
    canvas.cover(band(np.abs(u), wu, 0, 0.27) * band(z, wz, 0.32, 0.45) * end, (0.65, 0.65, 0.6), gloss=0.0)
    canvas.emission[:] += (canvas.lamps * lamp)[:, None] * np.where(front[:, None], 2.0 * HEAD_LAMP, 0.7 * TAIL_LAMP)


def paint_car_cabin(canvas: Canvas) -> None:
    """Windows all round between pillars, under a painted roof."""
    surface, half = canvas.surface, canvas.half
    u, v = surface.uv[:, 0], surface.uv[:, 1]
    wu, wv = surface.width[:, 0], surface.width[:, 1]
    canvas.gloss[:] = 0.6
    flank = surface.axis == 1
    wide = np.where(flank, half[:, 0], half[:, 1])
    glass = (
        band(v, wv, -0.85 * half[:, 2], 0.7 * half[:, 2]) * band(u, wu, -0.9 * wide, 0.9 * wide) * (surface.axis != 2)
    )
    pillars = pulse(u / 1.0 + 0.54, wu, 0.08) * flank
    canvas.cover(glass * (1 - pillars), GLASS, gloss=1.0)


def paint_leaves(canvas: Canvas) -> None:
    """Leaves: strong grain, lighter towards the crown's top."""
    height = canvas.surface.uv[:, 1] / canvas.half[:, 2]
    canvas.albedo[:] *= np.clip(0.9 + 0.3 * height + 0.6 * canvas.grain, 0.12, 2.5)[:, None]


def paint_plain(canvas: Canvas) -> None:
    """One colour with a little dirt."""
    canvas.albedo[:] *= (1 + 0.12 * canvas.grain)[:, None]


def paint_lamp(canvas: Canvas) -> None:
    """A street lamp's head, lit from below."""
    below = (canvas.surface.axis == 2) & (canvas.surface.side < 0)
    canvas.emission[:] += (canvas.lamps * np.where(below, 2.5, 0.3))[:, None] * np.array([1.0, 0.8, 0.55], np.float32)


def leaf_cutout(solids: Solids, card: Index, u: F32, v: F32, footprint: F32) -> NDArray[np.bool_]:
    """Which points (u along, v up from its centre, metres) of foliage cards are leaf: a ragged ellipse with holes."""
    half = solids.half[card]
    radius = (u / half[:, 0]) ** 2 + (v / half[:, 2]) ** 2
    shift = solids.style[card, 0]
    scale = np.float32(LEAF_TEXELS_PER_M)
    ragged = noise((u + shift) * scale, (v + shift) * scale, footprint * scale)
    return 0.75 - radius + 0.5 * ragged > 0
