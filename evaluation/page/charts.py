"""Line and dot charts as geometry; the template draws it as inline SVG.

Units are those of the drawing (about pixels, y down). Charts are narrow, so that they stay readable on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 34.0
_TICKS = 5


@dataclass(frozen=True)
class Point:
    """One value: its place in data units, its interval, and what it is called when pointed at."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Values under one name; `style` is a class of the style sheet, `line` joins them."""

    name: str
    style: str
    points: tuple[Point, ...]
    line: bool = True


@dataclass(frozen=True)
class Dot:
    """A value in the drawing."""

    x: float
    y: float
    name: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DrawnSeries:
    """A series in the drawing: its path (empty: none) and its dots."""

    name: str
    style: str
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart ready to be drawn."""

    title: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[DrawnSeries, ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Labels:
    """What a chart says beside its values; without numbers on the x axis its points are just in order."""

    title: str
    x: str
    numbered: bool = True


def chart(labels: Labels, series: Sequence[Series]) -> Chart | None:
    """A chart of finite values; None without any."""
    points = [point for one in series for point in one.points]
    if not points:
        return None
    xs = _span([p.x for p in points])
    ys = _span([v for p in points for v in (p.y, p.low, p.high) if v is not None], pad=0.06)
    return Chart(
        title=labels.title,
        x_label=labels.x,
        x_ticks=tuple(Tick(_x(v, xs), text) for v, text in _ticks(xs)) if labels.numbered else (),
        y_ticks=tuple(Tick(_y(v, ys), text) for v, text in _ticks(ys)),
        series=tuple(_drawn(one, xs, ys) for one in series if one.points),
    )


def _drawn(series: Series, xs: tuple[float, float], ys: tuple[float, float]) -> DrawnSeries:
    dots = tuple(
        Dot(
            _x(p.x, xs),
            _y(p.y, ys),
            p.name,
            None if p.low is None else _y(p.low, ys),
            None if p.high is None else _y(p.high, ys),
        )
        for p in series.points
    )
    path = "M" + "L".join(f"{dot.x} {dot.y}" for dot in dots) if series.line and len(dots) > 1 else ""
    return DrawnSeries(series.name, series.style, path, dots)


def _span(values: Sequence[float], pad: float = 0.03) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * pad or max(abs(low), 1.0) * pad
    return low - room, high + room


def _x(value: float, span: tuple[float, float]) -> float:
    return round(LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT), 1)


def _y(value: float, span: tuple[float, float]) -> float:
    return round(HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM), 1)


def _ticks(span: tuple[float, float]) -> list[tuple[float, str]]:
    """Round values inside a span, about five, and their text."""
    rough = (span[1] - span[0]) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9)
    return [(k * step, f"{k * step + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}")) for k in range(first, last + 1)]
