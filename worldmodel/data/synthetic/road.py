"""Ground: asphalt with its markings (drawn from where the streets run), pavement slabs and lawns."""

import numpy as np

from worldmodel.data.synthetic.paint import Canvas
from worldmodel.data.synthetic.solids import F32, F64
from worldmodel.data.synthetic.streets import CROSSING_M, HALF_ROAD_M, LANE_M, STOP_LINE_M
from worldmodel.data.synthetic.textures import band, pulse

WHITE = (0.62, 0.62, 0.6)
YELLOW = (0.6, 0.42, 0.06)
GRASS = np.array([0.07, 0.13, 0.03], np.float32)
GRASS_VARIATION = np.array([0.05, 0.03, 0.02], np.float32)


def paint_asphalt(canvas: Canvas, lines: tuple[F64, F64]) -> None:
    """The roadway. `lines` are the streets' centres along x and y."""
    canvas.albedo[:] *= (1 + 0.22 * canvas.grain)[:, None]
    ground, width = canvas.surface.ground, canvas.surface.width
    to_x, to_y = _to_nearest(ground[:, 0], lines[0]), _to_nearest(ground[:, 1], lines[1])
    _mark_street(canvas, to_x, to_y, ground[:, 1], width, flip=1.0)
    _mark_street(canvas, to_y, to_x, ground[:, 0], width[:, ::-1], flip=-1.0)


def paint_pavement(canvas: Canvas) -> None:
    """Slabs along the kerb; inside them slabs or, between homes, lawn."""
    surface = canvas.surface
    u, v = surface.uv[:, 0], surface.uv[:, 1]
    wu, wv = surface.width[:, 0], surface.width[:, 1]
    canvas.albedo[:] *= (1 + 0.16 * canvas.grain)[:, None]
    joints = 1 - (1 - pulse(u / 1.5, wu / 1.5, 0.03)) * (1 - pulse(v / 1.5, wv / 1.5, 0.03))
    canvas.darken(joints, 0.55)
    inside = _within(u, wu, canvas.half[:, 0] - canvas.style[:, 1]) * _within(
        v, wv, canvas.half[:, 1] - canvas.style[:, 1]
    )
    top = surface.axis == 2
    lawn = inside * canvas.style[:, 0] * top
    canvas.cover(lawn, GRASS + GRASS_VARIATION * np.clip(0.5 * canvas.grain, -1, 1)[:, None])
    canvas.darken(np.where(top, 0.0, 1.0).astype(np.float32), 0.8)


def _within(x: F32, width: F32, half: F32 | float) -> F32:
    return band(x, width, -half, half)


def _to_nearest(x: F32, lines: F64 | F32) -> F32:
    """Signed distance to the nearest of ascending lines."""
    lines = lines.astype(np.float32)
    index = np.clip(np.searchsorted(lines, x), 1, len(lines) - 1)
    below, above = x - lines[index - 1], x - lines[index]
    return np.where(np.abs(below) < np.abs(above), below, above)


def _mark_street(canvas: Canvas, across: F32, to_crossing: F32, along: F32, width: F32, flip: float) -> None:
    """Markings of the streets of one direction.

    Args:
        canvas: all ground samples.
        across: [S] signed distance to the street's centre.
        to_crossing: [S] signed distance, along it, to the nearest crossing street.
        along: [S] position along it, for dashes.
        width: [S, 2] footprint across and along.
        flip: 1 if the traffic on the positive side of the street drives towards positive `along`.
    """
    wa, wl = width[:, 0], width[:, 1]
    beyond = np.abs(to_crossing) - HALF_ROAD_M
    on_road = _within(across, wa, HALF_ROAD_M)
    between = band(beyond, wl, STOP_LINE_M[1], 1e6)
    dashes = band(across, wa, -0.08, 0.08) * pulse(along / 6.0, wl / 6.0, 0.5) * between
    edges = (band(across, wa, LANE_M - 0.06, LANE_M + 0.06) + band(across, wa, -LANE_M - 0.06, 0.06 - LANE_M)) * between
    zebra = (
        band(beyond, wl, *CROSSING_M)
        * pulse(across / 1.1 + 0.25, wa / 1.1, 0.5)
        * _within(across, wa, HALF_ROAD_M - 0.3)
    )
    arriving = -flip * np.sign(to_crossing)
    stop = band(beyond, wl, *STOP_LINE_M) * band(across * arriving, wa, 0.15, LANE_M - 0.1)
    gutter = on_road - _within(across, wa, HALF_ROAD_M - 0.35)
    canvas.darken(gutter * band(beyond, wl, 0, 1e6), 0.7)
    worn = np.clip(0.85 + 0.12 * canvas.grain, 0.4, 1)
    canvas.cover(dashes * worn, YELLOW)
    canvas.cover(np.minimum(edges + zebra + stop, 1) * worn, WHITE)
