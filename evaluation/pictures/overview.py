"""The overview of one group: clips from worst to best, each as strips of all cameras, one strip a method.

Top to bottom: nearest context, the model's render, the truth, the error, and depth; PSNR over the strip at the right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.baselines import nearest_context_frame
from evaluation.metrics.depth import depth_errors
from evaluation.metrics.image import psnr
from evaluation.pictures.samples import Sample
from evaluation.pictures.strips import (
    DEPTH_RANGE_M,
    ERROR_TOP,
    GAP_PX,
    depth_colours,
    error_colours,
    strip,
    strip_width,
)
from evaluation.pictures.style import FAINT, MODEL_COLOUR, Lettering, Pixels, new_figure, save_png, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN_PX, BETWEEN_PX, TITLE_PX, HEAD_PX, CAPTION_PX = 28, 24, 52, 30, 24
SMALLEST_VIEW_PX = 120


@dataclass(frozen=True)
class _Row:
    caption: str
    value: str
    images: Pixels
    accent: bool = False


@dataclass(frozen=True)
class _Grid:
    columns: int
    scale: int
    block_width: int
    block_height: int


def draw_overview(path: Path, samples: list[Sample], model: str, title: str, width_px: int) -> None:
    """Writes the overview PNG of one group's samples."""
    blocks = [list(_rows(sample, model)) for sample in samples]
    grid = _grid(blocks, width_px)
    lines = -(-len(blocks) // grid.columns)
    width = 2 * MARGIN_PX + grid.columns * grid.block_width + (grid.columns - 1) * BETWEEN_PX
    height = TITLE_PX + lines * (grid.block_height + BETWEEN_PX) + 4
    with new_figure(width, height) as figure:
        canvas = np.full((height, width, 3), 255, np.uint8)
        write(figure, (MARGIN_PX, 34), title, Lettering(19, weight="bold"))
        for i, (sample, rows) in enumerate(zip(samples, blocks, strict=True)):
            left = MARGIN_PX + i % grid.columns * (grid.block_width + BETWEEN_PX)
            top = TITLE_PX + i // grid.columns * (grid.block_height + BETWEEN_PX)
            _draw_block(figure, canvas, (left, top), grid, (sample, rows))
        figure.figimage(canvas, origin="upper", zorder=-1)
        save_png(figure, path)


def _rows(sample: Sample, model: str) -> Iterator[_Row]:
    clip, frame, i = sample.clip, sample.frame, sample.position
    truth, render = clip.rgb[frame], sample.renders.rgb[i]
    near = nearest_context_frame(frame, sample.entry.context_frames)
    yield _Row(f"nearest context (frame {near})", _psnr(clip.rgb[near], truth), clip.rgb[near])
    yield _Row(f"{model} render", _psnr(render, truth), render, accent=True)
    yield _Row(f"truth (frame {frame})", "", truth)
    yield _Row(f"error, 0 to {ERROR_TOP:g}", "", error_colours(render, truth))
    low, high = DEPTH_RANGE_M
    scale = f"{low:g} m red to {high:g} m blue"
    depth = sample.renders.depth[i]
    if clip.depth is None:
        yield _Row(f"{model} depth, {scale}", "", depth_colours(depth))
        return
    rmse = [depth_errors(*pair).rmse_m for pair in zip(depth, clip.depth[frame], strict=True)]
    known = [value for value in rmse if value is not None]
    value = f"RMSE {np.mean(known):.1f} m" if known else ""
    yield _Row(f"{model} depth, {scale}", value, depth_colours(depth))
    yield _Row("true depth" + (" (LiDAR)" if clip.depth_kind == "lidar" else ""), "", depth_colours(clip.depth[frame]))


def _psnr(images: Pixels, truth: Pixels) -> str:
    values = [psnr(image, true) for image, true in zip(images, truth, strict=True)]
    return f"{np.mean([value for value in values if value is not None]):.2f} dB"


def _grid(blocks: list[list[_Row]], width_px: int) -> _Grid:
    """As many columns as keep the views large enough to see."""
    views, height, width, _ = blocks[0][0].images.shape
    rows, free = max(map(len, blocks)), width_px - 2 * MARGIN_PX
    columns, scale = 1, max(1, (free - (views - 1) * GAP_PX) // (views * width))
    for tried in range(len(blocks), 1, -1):
        block = (free - (tried - 1) * BETWEEN_PX) // tried
        fits = (block - (views - 1) * GAP_PX) // (views * width)
        if fits * height >= SMALLEST_VIEW_PX:
            columns, scale = tried, fits
            break
    return _Grid(columns, scale, strip_width(views, width, scale), HEAD_PX + rows * (CAPTION_PX + height * scale))


def _draw_block(
    figure: "Figure", canvas: Pixels, corner: tuple[int, int], grid: _Grid, content: tuple[Sample, list[_Row]]
) -> None:
    (left, top), (sample, rows), right = corner, content, corner[0] + grid.block_width
    tags = [sample.clip.tags[tag] for tag in ("weather", "time_of_day") if tag in sample.clip.tags]
    write(figure, (left, top + 17), ", ".join([sample.clip.clip_id, *tags]), Lettering(14, weight="bold"))
    write(figure, (right, top + 17), sample.rank, Lettering(13, FAINT, align="right"))
    y = top + HEAD_PX
    for row in rows:
        look = Lettering(13, MODEL_COLOUR, "bold") if row.accent else Lettering(13)
        write(figure, (left, y + CAPTION_PX - 8), row.caption, look)
        write(figure, (right, y + CAPTION_PX - 8), row.value, replace(look, align="right"))
        pixels = strip(row.images, grid.scale)
        y += CAPTION_PX
        canvas[y : y + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        y += pixels.shape[0]
