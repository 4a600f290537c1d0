"""House fronts: brick courses, a grid of windows with frames, a shop with its sign on the ground floor, a cornice."""

import numpy as np

from worldmodel.data.synthetic.paint import Canvas
from worldmodel.data.synthetic.solids import F32
from worldmodel.data.synthetic.textures import band, cell_hash, pulse

GROUND_FLOOR_M = 3.6
LAMPLIGHT = np.array([1.0, 0.72, 0.4], np.float32)


def paint_facade(canvas: Canvas) -> None:
    """All faces of buildings; party walls and roofs get no windows."""
    surface, style = canvas.surface, canvas.style
    wall = surface.axis != 2
    u = surface.uv[:, 0] + np.where(surface.axis == 0, canvas.half[:, 1], canvas.half[:, 0])
    z = surface.uv[:, 1] + canvas.half[:, 2]
    wu, wz = surface.width[:, 0], surface.width[:, 1]
    canvas.albedo[:] *= (1 + 0.2 * canvas.grain)[:, None]
    _bricks(canvas, u, z, wu, wz)
    height = 2 * canvas.half[:, 2]
    canvas.cover(band(z, wz, height - 0.55, height - 0.1) * wall, np.clip(canvas.colour * 1.5 + 0.06, 0, 0.8))
    shop = style[:, 4] * wall
    upper = band(z, wz, GROUND_FLOOR_M * style[:, 4], height - 0.8) * wall
    _windows(canvas, u, z, upper)
    _shop(canvas, u, z, shop)


def _bricks(canvas: Canvas, u: F32, z: F32, wu: F32, wz: F32) -> None:
    courses = pulse(z / 0.3, wz / 0.3, 0.12)
    joints = pulse(u / 0.6 + 0.5 * np.floor(z / 0.3), wu / 0.6, 0.06)
    canvas.cover(0.5 * np.maximum(courses, joints), np.clip(canvas.colour * 0.8 + 0.1, 0, 1))


def _windows(canvas: Canvas, u: F32, z: F32, where: F32) -> None:
    style, width = canvas.style, canvas.surface.width
    period, share, floor, tall = style[:, 0], style[:, 1], style[:, 2], style[:, 3]
    column, wc = u / period, width[:, 0] / period
    row, wr = z / floor, width[:, 1] / floor
    left, low = 0.5 * (1 - share), np.float32(0.28)
    frame_u, frame_z = 0.1 / period, 0.1 / floor
    glass = pulse(column - left, wc, share) * pulse(row - low, wr, tall) * where
    framed = (
        pulse(column - left + frame_u, wc, share + 2 * frame_u)
        * pulse(row - low + frame_z, wr, tall + 2 * frame_z)
        * where
    )
    canvas.cover(framed, np.clip(canvas.colour * 0.4 + 0.38, 0, 0.8))
    mullion = pulse(column - 0.5 + 0.02, wc, 0.04) * pulse(row - low, wr, tall) * where
    cells = (
        np.floor(column),
        np.floor(row),
        np.floor(style[:, 5]),
        canvas.surface.axis.astype(np.float32) * 2 + canvas.surface.side,
    )
    draw = cell_hash(*cells)
    sharp = np.clip(1.5 - 2 * np.maximum(wc, wr), 0, 1)
    tint = 0.02 + 0.13 * (sharp * draw**2 + (1 - sharp) / 3)
    canvas.cover(glass, tint[:, None] * np.array([0.8, 0.95, 1.1], np.float32), gloss=1.0)
    curtain = band(row - np.floor(row), wr, low + 0.5 * tall, low + tall) * (draw > 0.55) * glass * sharp
    canvas.cover(0.8 * curtain, (0.45, 0.42, 0.36))
    canvas.cover(mullion, np.clip(canvas.colour * 0.4 + 0.38, 0, 0.8), gloss=0.0)
    lit = sharp * (draw > 0.62) + (1 - sharp) * 0.38
    canvas.emission[:] += (canvas.lamps * 0.5 * glass * lit * (0.4 + draw))[:, None] * LAMPLIGHT


def _shop(canvas: Canvas, u: F32, z: F32, where: F32) -> None:
    style, width = canvas.style, canvas.surface.width
    wu, wz = width[:, 0], width[:, 1]
    tag = np.floor(style[:, 5])
    glass = band(z, wz, 0.5, 2.6) * pulse(u / 2.8 - 0.06, wu / 2.8, 0.88) * where
    goods = cell_hash(np.floor(u / 0.7), np.floor(z / 0.7), tag)
    sharp = np.clip(1.5 - 2 * np.maximum(wu, wz) / 0.7, 0, 1)
    inside = 0.03 + 0.3 * (sharp * goods**2 + (1 - sharp) / 3)
    canvas.cover(band(z, wz, 0.0, 2.75) * where, canvas.colour * 0.5)
    canvas.cover(glass, inside[:, None] * np.array([1.05, 1.0, 0.9], np.float32), gloss=0.7)
    sign = band(z, wz, 2.8, 3.45) * where
    hue = np.stack([cell_hash(tag, np.full_like(tag, k)) for k in range(3)], -1)
    canvas.cover(sign, (0.05 + 0.55 * hue**2).astype(np.float32))
    letters = band(z, wz, 2.95, 3.3) * pulse(u / 0.45, wu / 0.45, 0.55) * band(np.mod(u, 7.0), wu, 1.2, 5.4) * where
    canvas.cover(0.9 * letters, np.where(hue.mean(-1, keepdims=True) > 0.5, np.float32(0.03), np.float32(0.75)))
    canvas.emission[:] += (
        (canvas.lamps * (0.8 * glass + 0.35 * sign))[:, None] * LAMPLIGHT * (0.4 + 0.6 * goods)[:, None]
    )
