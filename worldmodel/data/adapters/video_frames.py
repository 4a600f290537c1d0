"""Frames of a video file, one after the other in constant memory, with what is wrong named by file and frame.

Decoding takes one thread and libswscale's bit-exact paths, so the same file gives the same pixels. A frame's number is
its place in the file, from 0.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from worldmodel.data.adapters.recorded import cover_and_cut
from worldmodel.errors import DataError

_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_MEND = "record or export the file again, or take its scene out of the folder"


@dataclass(frozen=True)
class Picture:
    """One decoded frame; look at it before asking for the next one."""

    frame: av.VideoFrame
    reformatter: VideoReformatter

    def thumbnail(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The whole frame [H, W, 3] squeezed into a height and width: quick, for comparing frames."""
        return self._rgb(Interpolation.AREA, height=size[0], width=size[1])

    def pixels(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The frame [H, W, 3] scaled and cut as every recorded image is: see `recorded.cover_and_cut`."""
        return cover_and_cut(Image.fromarray(self._rgb(Interpolation.BILINEAR)), size)[0]

    def _rgb(self, interpolation: Interpolation, **size: int) -> NDArray[np.uint8]:
        frame = self.reformatter.reformat(
            self.frame, format="rgb24", interpolation=interpolation | _EXACT, threads=1, **size
        )
        return np.asarray(frame.to_ndarray(), np.uint8)


class Video:
    """An open video file.

    Attributes:
        label: what errors call the file.
        rate_hz: frames a second.
    """

    def __init__(self, container: InputContainer, label: str) -> None:
        self.label, self._container = label, container
        if not container.streams.video:
            raise DataError(f"{label} holds no video", expected="a video stream", got="none", fix=_MEND)
        self._stream: VideoStream = container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.options = {"err_detect": "explode"}
        if not self._stream.average_rate:
            raise DataError(f"{label} states no frame rate", expected="frames at a fixed rate", fix=_MEND)
        self.rate_hz = float(self._stream.average_rate)

    def pictures(self) -> Iterator[Picture]:
        """All frames, in order.

        Raises:
            DataError: a frame that is damaged or not at its time, no frame, or fewer than the file says.
        """
        count, at, last_s, reformatter = 0, 0, None, VideoReformatter()
        try:
            for packet in self._container.demux(self._stream):
                at = count if packet.pts is None else self._number(packet.pts)
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._damaged(count, "the decoder marks it as corrupt")
                    self._refuse_gap(count, last_s, frame.time)
                    yield Picture(frame, reformatter)
                    count, last_s = count + 1, frame.time
        except av.error.FFmpegError as error:
            raise self._damaged(at, error.strerror or type(error).__name__) from error
        if count < max(1, self._stream.frames):
            expected = f"{max(1, self._stream.frames)} frames"
            raise DataError(f"{self.label} ends early", expected=expected, got=str(count), fix=_MEND)

    def _number(self, pts: int) -> int:
        start = self._stream.start_time or 0
        return round(float((pts - start) * (self._stream.time_base or 0)) * self.rate_hz)

    def _damaged(self, number: int, got: str) -> DataError:
        what = f"{self.label}: frame {number} does not decode"
        return DataError(what, expected="a sound video frame", got=got, fix=_MEND)

    def _refuse_gap(self, number: int, last_s: float | None, time_s: float | None) -> None:
        if last_s is not None and time_s is not None and abs((time_s - last_s) * self.rate_hz - 1) > 0.5:
            expected = f"frames 1/{self.rate_hz:g} s apart"
            got = f"{time_s - last_s:.3f} s after the frame before it"
            fix = "export the video at a constant rate, without dropped frames"
            raise DataError(f"{self.label}: frame {number} is not at its time", expected=expected, got=got, fix=fix)


@contextmanager
def open_video(path: Path, label: str) -> Iterator[Video]:
    """Opens a video file for the length of a block.

    Args:
        path: the file.
        label: what errors call it: no path of this machine.

    Raises:
        DataError: the file is missing or no video, or what `Video.pictures` raises.
    """
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        got = error.strerror or type(error).__name__
        raise DataError(f"{label} cannot be read", expected="a video file", got=got, fix=_MEND) from error
    with container:
        yield Video(container, label)
