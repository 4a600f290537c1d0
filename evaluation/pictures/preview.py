"""An animated PNG of one clip: the truth above the model's render, through the target frames, all cameras.

APNG rather than GIF or WebP: enlarged pixels cost it almost nothing, and browsers, READMEs and MLflow all play it. Kept
under a size that loads at once: the enlarging factor goes down until the file fits.
"""

import io
from pathlib import Path

import numpy as np

from evaluation.pictures.samples import Sample
from evaluation.pictures.strips import strip, strip_width
from evaluation.pictures.style import FAINT, MODEL_COLOUR, Lettering, Pixels, figure_pixels, new_figure, write
from worldmodel.data.atomic import atomic_file

LARGEST_BYTES = 1_000_000
WIDTH_PX = 900
_CAPTION_PX = 24


def draw_preview(path: Path, sample: Sample, model: str, fps: int) -> None:
    """Writes the animation of all target frames of a sample's clip."""
    views, _, width, _ = sample.clip.rgb.shape[1:]
    for scale in range(max(1, WIDTH_PX // (views * width)), 0, -1):
        data = animation([_frame(sample, i, model, scale) for i in range(len(sample.entry.target_frames))], fps)
        if len(data) <= LARGEST_BYTES:
            break
    with atomic_file(path) as file:
        file.write(data)


def _frame(sample: Sample, i: int, model: str, scale: int) -> Pixels:
    frame = sample.entry.target_frames[i]
    views, height, width, _ = sample.clip.rgb.shape[1:]
    wide, tall = strip_width(views, width, scale), _CAPTION_PX + height * scale
    with new_figure(wide, 2 * tall) as figure:
        write(figure, (2, 17), f"truth, frame {frame}", Lettering(13))
        write(figure, (wide - 2, 17), sample.clip.clip_id, Lettering(13, FAINT, align="right"))
        write(figure, (2, tall + 17), f"{model} render of a frame it did not see", Lettering(13, MODEL_COLOUR, "bold"))
        page = figure_pixels(figure)
    page[_CAPTION_PX:tall] = strip(sample.clip.rgb[frame], scale)
    page[tall + _CAPTION_PX :] = strip(sample.renders.rgb[i], scale)
    return page


def animation(pages: list[Pixels], fps: int) -> bytes:
    """All pages in one palette of 256 colours, without dithering: still parts stay still, and compress."""
    from PIL import Image

    palette = Image.fromarray(np.concatenate(pages)).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    first, *rest = [Image.fromarray(page).quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=rest, duration=1000 // fps, loop=0, compress_level=9)
    return buffer.getvalue()
