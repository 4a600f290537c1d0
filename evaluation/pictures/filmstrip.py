"""Film strips of generated clips: a row a method, a column a time, from the worst clip to the best."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.generation_report import STUDENT
from evaluation.pictures.films import Film, Track
from evaluation.pictures.strips import GAP_PX, strip, strip_width
from evaluation.pictures.style import FAINT, MODEL_COLOUR, Lettering, Pixels, new_figure, save_png, shortened, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN_PX, BETWEEN_PX, TITLE_PX, HEAD_PX, LABEL_PX = 28, 26, 52, 34, 250
_TIMES = 6


def draw_filmstrip(path: Path, films: Sequence[Film], title: str, rate_hz: float, width_px: int) -> None:
    """Writes the film strips of some clips of a group."""
    frames, height, wide = films[0].tracks[0].video.shape[:3]
    times = shown_frames(frames)
    free = width_px - 2 * MARGIN_PX - LABEL_PX - (len(times) - 1) * GAP_PX
    scale = max(1, free // (len(times) * wide))
    block = HEAD_PX + max(len(film.tracks) for film in films) * (height * scale + GAP_PX)
    page = 2 * MARGIN_PX + LABEL_PX + strip_width(len(times), wide, scale), TITLE_PX + len(films) * (block + BETWEEN_PX)
    with new_figure(*page) as figure:
        canvas = np.full((page[1], page[0], 3), 255, np.uint8)
        write(figure, (MARGIN_PX, 34), title, Lettering(19, weight="bold"))
        for i, film in enumerate(films):
            top = TITLE_PX + i * (block + BETWEEN_PX)
            _draw_head(figure, top, film, [t / rate_hz for t in times], wide * scale)
            for k, track in enumerate(film.tracks):
                y = top + HEAD_PX + k * (height * scale + GAP_PX)
                _draw_track(figure, canvas, y, track, strip(track.video[times], scale))
        figure.figimage(canvas, origin="upper", zorder=-1)
        save_png(figure, path)


def shown_frames(frames: int) -> list[int]:
    """Frames from the given one to the last, evenly spaced."""
    count = min(_TIMES, frames)
    return [round(i * (frames - 1) / max(count - 1, 1)) for i in range(count)]


def _draw_head(figure: "Figure", top: int, film: Film, times_s: list[float], wide: int) -> None:
    write(figure, (MARGIN_PX, top + 12), film.rank, Lettering(14, weight="bold"))
    small = Lettering(11, FAINT)
    write(figure, (MARGIN_PX, top + 27), shortened(film.sample.sample_id, LABEL_PX - 12, small), small)
    for column, time_s in enumerate(times_s):
        x = MARGIN_PX + LABEL_PX + column * (wide + GAP_PX)
        text = "given frame" if column == 0 else f"{time_s:.1f} s"
        write(figure, (x, top + 27), text, Lettering(12, FAINT))


def _draw_track(figure: "Figure", canvas: Pixels, top: int, track: Track, pixels: Pixels) -> None:
    look = Lettering(13, MODEL_COLOUR, "bold") if track.name == STUDENT else Lettering(13)
    middle = top + pixels.shape[0] // 2
    write(figure, (MARGIN_PX, middle), track.label, look)
    if track.psnr is not None:
        write(figure, (MARGIN_PX, middle + 19), f"{track.psnr:.2f} dB", replace(look, colour=FAINT, weight="normal"))
    left = MARGIN_PX + LABEL_PX
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
