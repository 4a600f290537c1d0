"""One look for every picture, and saving without anything that changes between runs.

Figures are made without pyplot, from matplotlib's default style rather than the user's, and PNGs carry no text chunks.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2328", "#6e7781", "#e6e8eb"
MODEL_COLOUR, NEAREST_COLOUR, ORACLE_COLOUR = "#0969da", "#8c959f", "#1a7f37"
DPI = 100
_STYLE: dict[str, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
}

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Lettering:
    """How a text looks; `size_px` is the height of its line."""

    size_px: int
    colour: str = INK
    weight: str = "normal"
    align: str = "left"


@contextlib.contextmanager
def new_figure(width_px: int, height_px: int) -> Iterator["Figure"]:
    """A white figure of this size in pixels; draw and save it inside the block, where the style holds."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        yield figure


def save_png(figure: "Figure", path: Path) -> None:
    """Writes the figure as a PNG without text chunks, aside first."""
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 9})


def figure_pixels(figure: "Figure") -> Pixels:
    """The figure as an image [H, W, 3]."""
    figure.canvas.draw()
    rgba = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    return np.ascontiguousarray(rgba[..., :3])


def write(figure: "Figure", at_px: tuple[int, int], text: str, look: Lettering) -> None:
    """Text whose base line starts (or ends) at (x, y) pixels from the upper left corner of the figure."""
    width, height = figure.get_size_inches() * DPI
    x, y = at_px[0] / width, 1 - at_px[1] / height
    size_pt = look.size_px * 72 / DPI
    figure.text(x, y, text, fontsize=size_pt, color=look.colour, fontweight=look.weight, ha=look.align, va="baseline")


def shortened(text: str, room_px: int, look: Lettering) -> str:
    """The text with its middle left out where it would not fit: ids differ at both ends."""
    room = max(8, int(room_px / (0.6 * look.size_px)))
    if len(text) <= room:
        return text
    head = room // 3
    return f"{text[:head]}…{text[len(text) - (room - 1 - head) :]}"


def titled(axes: "Axes", title: str, x: str, y: str) -> None:
    """Title at the left, axis labels, and no tick marks."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0)
