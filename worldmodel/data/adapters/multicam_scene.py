"""One scene of a multi-camera video folder, read into arrays. What the format is and what is converted: see `multicam`.

Frames are chosen while they are decoded, so a chunk is decoded once: whether frame 0 is corrupt is seen from three
frames of each camera beforehand, and every chunk is taken to begin on the last frame of the one before it. Thumbnails
of all frames tell afterwards whether that was so; if not, the scene is read again as it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.adapters.frame_faults import Thumbnails, first_is_odd, is_constant, judge_seam, odd_frame
from worldmodel.data.adapters.video_frames import Video, open_video
from worldmodel.errors import DataError

THUMBNAIL = (32, 48)
_LEAVE_OUT = "mend it, or take the scene out of the folder"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class VideoFile:
    """A file and what errors call it."""

    path: Path
    label: str


@dataclass(frozen=True)
class SceneFiles:
    """The files of a scene: for each camera its chunks in order; `layouts` likewise, or None without any."""

    cameras: tuple[str, ...]
    videos: tuple[tuple[VideoFile, ...], ...]
    layouts: tuple[tuple[VideoFile, ...], ...] | None


@dataclass(frozen=True)
class SceneFrames:
    """All frames of a scene that are kept: rgb and layout [T, V, H, W, 3], `rate_hz` after thinning."""

    rate_hz: float
    rgb: Pixels
    layout_rgb: Pixels | None


def read_scene(files: SceneFiles, size: tuple[int, int], thinning: Callable[[float], int]) -> SceneFrames:
    """Reads a scene.

    Args:
        files: its videos.
        size: height and width of the images to make.
        thinning: says for a rate in Hz which n-th frames are kept.

    Raises:
        DataError: a file that does not decode, cameras or layouts that are not in step, a corrupt frame, a chunk that
            does not go on where the one before it ends; naming the file, and the frame in it.
    """
    with open_video(files.videos[0][0].path, files.videos[0][0].label) as video:
        rate_hz = video.rate_hz
    first = int(any(_starts_corrupt(chunks[0]) for chunks in files.videos))
    choice = _Choice(first, (True,) * (len(files.videos[0]) - 1), thinning(rate_hz), rate_hz)
    views = _read_views(files.videos, choice, size)
    doubled = _doubled(files, views)
    if doubled != choice.doubled:
        choice = replace(choice, doubled=doubled)
        views = _read_views(files.videos, choice, size)
    _refuse_odd_frames(files, views, first)
    rgb = np.stack([view.pixels for view in views], axis=1)
    if not len(rgb):
        raise DataError(f"{files.videos[0][0].label} and its like hold no usable frame", fix=_LEAVE_OUT)
    layouts = None if files.layouts is None else _read_views(files.layouts, choice, size, like=views[0])
    layout_rgb = None if layouts is None else np.stack([view.pixels for view in layouts], axis=1)
    return SceneFrames(round(rate_hz / choice.thin, 3), rgb, layout_rgb)


@dataclass(frozen=True)
class _Choice:
    """Which frames of a scene are kept: all from `first` but the doubles, and of these every `thin`-th."""

    first: int
    doubled: tuple[bool, ...]
    thin: int
    rate_hz: float

    def skipped(self, chunk: int) -> int:
        """Frames left out at the start of a chunk."""
        return self.first if chunk == 0 else int(self.doubled[chunk - 1])


@dataclass(frozen=True)
class _View:
    """One camera's kept frames; how many frames each chunk has, and thumbnails of them unless it is a layout."""

    pixels: Pixels
    lengths: tuple[int, ...]
    thumbnails: tuple[Thumbnails, ...]


def _starts_corrupt(file: VideoFile) -> bool:
    with open_video(file.path, file.label) as video:
        frames = [picture.thumbnail(THUMBNAIL) for picture in islice(video.pictures(), 3)]
    return bool(frames) and first_is_odd(np.stack(frames))


def _read_views(
    files: Sequence[Sequence[VideoFile]], choice: _Choice, size: tuple[int, int], like: _View | None = None
) -> list[_View]:
    """Reads each camera; all must be as long as the first one, or as `like`, the video that layouts belong to."""
    views: list[_View] = []
    for chunks in files:
        view = _read_view(chunks, choice, size, with_thumbnails=like is None)
        lengths = (like or (views or [view])[0]).lengths
        for file, expected, got in zip(chunks, lengths, view.lengths, strict=True):
            if got != expected:
                what = "its video" if like is not None else "the other cameras' videos"
                raise DataError(
                    f"{file.label} is not as long as {what}",
                    expected=f"{expected} frames",
                    got=f"{got} frames",
                    fix=f"export both from the same frames; {_LEAVE_OUT}",
                )
        views.append(view)
    return views


def _read_view(chunks: Sequence[VideoFile], choice: _Choice, size: tuple[int, int], *, with_thumbnails: bool) -> _View:
    kept: list[Pixels] = []
    thumbnails: list[Thumbnails] = []
    lengths: list[int] = []
    for k, file in enumerate(chunks):
        place = sum(lengths) - sum(map(choice.skipped, range(k + 1)))
        of_chunk: list[Thumbnails] = []
        number = -1
        with open_video(file.path, file.label) as video:
            _refuse_rate(video, choice.rate_hz)
            for number, picture in enumerate(video.pictures()):
                if with_thumbnails:
                    of_chunk.append(picture.thumbnail(THUMBNAIL))
                if number >= choice.skipped(k) and (place + number) % choice.thin == 0:
                    kept.append(picture.pixels(size))
        lengths.append(number + 1)
        thumbnails.append(np.array(of_chunk))
    pixels = np.stack(kept) if kept else np.empty((0, *size, 3), np.uint8)
    return _View(pixels, tuple(lengths), tuple(thumbnails))


def _refuse_rate(video: Video, rate_hz: float) -> None:
    if abs(video.rate_hz / rate_hz - 1) > 1e-3:
        expected, got = f"{rate_hz:g} Hz, as the first camera's first video", f"{video.rate_hz:g} Hz"
        fix = f"export all videos of a scene at one rate; {_LEAVE_OUT}"
        raise DataError(f"{video.label} has another frame rate", expected=expected, got=got, fix=fix)


def _doubled(files: SceneFiles, views: Sequence[_View]) -> tuple[bool, ...]:
    """Which chunks, from the second on, begin on the last frame of the chunk before."""
    found = []
    for k in range(1, len(files.videos[0])):
        for chunks, view in zip(files.videos, views, strict=True):
            for at in (k - 1, k):
                if view.lengths[at] < 2:
                    raise DataError(f"{chunks[at].label} is too short", expected="at least 2 frames", fix=_LEAVE_OUT)
        ends = [(view.thumbnails[k - 1][-2:], view.thumbnails[k][:2]) for view in views]
        seam, contrary = judge_seam(ends)
        label = files.videos[contrary or 0][k].label
        if contrary is not None:
            expected = (
                f"a first frame that {'repeats' if seam == 'doubled' else 'follows'} the last of the chunk before"
            )
            got = "otherwise in this camera: it is not in step with the others"
            raise DataError(f"{label}: frame 0 does not fit", expected=expected, got=got, fix=_LEAVE_OUT)
        if seam == "jumps":
            fix = "give other drives other names: <clip>_<k>.mp4 is chunk k of one drive"
            expected = "the last frame of the chunk before, or the next"
            raise DataError(f"{label} does not go on where the chunk before it ends", expected=expected, fix=fix)
        found.append(seam == "doubled")
    return tuple(found)


def _refuse_odd_frames(files: SceneFiles, views: Sequence[_View], first: int) -> None:
    for chunks, view in zip(files.videos, views, strict=True):
        for k, (file, frames) in enumerate(zip(chunks, view.thumbnails, strict=True)):
            skipped = first if k == 0 else 0
            odd = odd_frame(frames[skipped:]) if len(frames) > skipped else None
            if odd is not None:
                number = odd + skipped
                got = "one colour" if is_constant(frames[number]) else "far from the frames beside it"
                what = f"{file.label}: frame {number} is corrupt"
                raise DataError(what, expected="a picture like the frames beside it", got=got, fix=_LEAVE_OUT)
