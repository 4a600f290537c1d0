"""Generated clips as moving pictures: an mp4 for players and MLflow, and an animated PNG for pages.

Side by side, a column a method and a row a clip. The mp4 is H.264 in yuv420p (which every browser plays). So that the
same videos give the same bytes it is encoded by one thread, with FFmpeg's bitexact flags and without x264's macroblock
tree: with the tree, encodings of the same frames in one process came out in two to four versions.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from evaluation.generation_report import REPEAT, STUDENT
from evaluation.pictures.films import Film
from evaluation.pictures.preview import LARGEST_BYTES, animation
from evaluation.pictures.strips import GAP_PX, strip, strip_width
from evaluation.pictures.style import (
    FAINT,
    MODEL_COLOUR,
    Lettering,
    Pixels,
    figure_pixels,
    new_figure,
    shortened,
    write,
)
from worldmodel.data.atomic import atomic_file

_CAPTION_PX, _EDGE_PX, _TIME_PX = 24, 6, 100
_X264 = {"crf": "16", "preset": "medium", "x264-params": "mbtree=0"}


def pages(films: Sequence[Film], rate_hz: float, scale: int) -> Iterator[Pixels]:
    """One image a frame, of even height and width: every film's tracks side by side but the repeated frame."""
    shown = [replace(film, tracks=tuple(t for t in film.tracks if t.name != REPEAT)) for film in films]
    frames, height, wide, _ = shown[0].tracks[0].video.shape
    block = 2 * _CAPTION_PX + height * scale + _EDGE_PX
    template = _captions(shown, wide * scale, block)
    for t in range(frames):
        page, time = template.copy(), _time(t / rate_hz)
        for i, film in enumerate(shown):
            images = strip(np.stack([track.video[t] for track in film.tracks]), scale)
            top = i * block + 2 * _CAPTION_PX
            page[top : top + images.shape[0], _EDGE_PX : _EDGE_PX + images.shape[1]] = images
            page[i * block : i * block + _CAPTION_PX, -_TIME_PX - _EDGE_PX : -_EDGE_PX] = time
        yield page


def write_mp4(path: Path, images: Sequence[Pixels], rate_hz: float) -> None:
    """Writes images [H, W, 3] of even size as H.264 in mp4, aside first."""
    with atomic_file(path) as file:
        _encode(file, images, rate_hz, _X264, "+faststart")


def mp4_bytes(images: Sequence[Pixels], rate_hz: float, crf: int) -> bytes:
    """The same in memory, at this quality (lower is better); every frame can be sought at once."""
    buffer = io.BytesIO()
    _encode(buffer, images, rate_hz, _X264 | {"crf": str(crf), "bf": "0"})
    return buffer.getvalue()


def _encode(
    file: BinaryIO, images: Sequence[Pixels], rate_hz: float, settings: dict[str, str], layout: str = ""
) -> None:
    import av
    from av.codec.context import ThreadType

    options = {"fflags": "+bitexact"} | ({"movflags": layout} if layout else {})
    with av.open(file, "w", format="mp4", options=options) as container:
        rate = Fraction(rate_hz).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options=settings)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_type, stream.thread_count = ThreadType.NONE, 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def draw_animation(path: Path, film: Film, rate_hz: float, scale: int) -> None:
    """Writes one film as an animated PNG, enlarged as far as the file stays small."""
    for factor in range(scale, 0, -1):
        data = animation(list(pages([film], rate_hz, factor)), round(rate_hz))
        if len(data) <= LARGEST_BYTES:
            break
    with atomic_file(path) as file:
        file.write(data)


def _captions(films: Sequence[Film], wide: int, block: int) -> Pixels:
    """A page without videos; its sides are even, as yuv420p needs."""
    width = max(strip_width(len(film.tracks), wide, 1) for film in films) + 2 * _EDGE_PX
    height = block * len(films)
    with new_figure(width + width % 2, height + height % 2) as figure:
        for i, film in enumerate(films):
            head = Lettering(13, weight="bold")
            said = shortened(f"{film.rank}: {film.sample.sample_id}", width - _TIME_PX - 2 * _EDGE_PX, head)
            write(figure, (_EDGE_PX, i * block + 18), said, head)
            for k, track in enumerate(film.tracks):
                look = Lettering(12, MODEL_COLOUR, "bold") if track.name == STUDENT else Lettering(12)
                at = (_EDGE_PX + k * (wide + GAP_PX), i * block + _CAPTION_PX + 17)
                write(figure, at, shortened(track.label, wide, look), look)
        return figure_pixels(figure)


def _time(time_s: float) -> Pixels:
    with new_figure(_TIME_PX, _CAPTION_PX) as figure:
        text = "given frame" if time_s == 0 else f"{time_s:.1f} s"
        write(figure, (_TIME_PX, 18), text, Lettering(13, FAINT, align="right"))
        return figure_pixels(figure)
