"""Small videos: a drive past a texture, as several cameras record it in chunks."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

HEIGHT, WIDTH = 32, 64
UUID = "0b1c2d3e-0000-1111-2222-0123456789ab"

Frames = NDArray[np.uint8]
WriteVideo = Callable[..., Path]


def drive(camera: int, first: int, n_frames: int) -> Frames:
    """Frames `first` and on of a camera: a texture that moves 1 pixel a frame, so frames say which one they are."""
    x = np.arange(WIDTH)[None, None, :, None] + 1.0 * np.arange(first, first + n_frames)[:, None, None, None]
    y = np.arange(HEIGHT)[None, :, None, None]
    phase = camera + np.array([0.0, 1.0, 2.0])
    return (128 + 90 * np.sin(x / 9 + y / 7 + phase)).astype(np.uint8)


def layout(camera: int, first: int, n_frames: int) -> Frames:
    """White where the texture of the drive is bright, black elsewhere."""
    return np.where(drive(camera, first, n_frames).mean(-1, keepdims=True) > 150, 255, 0).repeat(3, -1).astype(np.uint8)


def write_video(path: Path, frames: Frames, rate_hz: Fraction | int = 30, times: Sequence[int] | None = None) -> Path:
    """Writes H.264 of high quality; `times` are frame numbers, for gaps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz, options={"crf": "8", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Rig:
    """A folder of one scene in chunks: `frames` by (camera, chunk) are written by `write`, and may be changed before.

    Chunk k + 1 begins on the last frame of chunk k, and there are layout videos of another size.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clip = f"av_{UUID}"
        self.frames = {(c, k): drive(c, 6 * k, 7) for c in range(2) for k in range(2)}
        self.layouts = {(c, k): layout(c, 6 * k, 7).repeat(2, 1).repeat(2, 2) for c in range(2) for k in range(2)}
        self.rates: dict[tuple[int, int], int] = {}

    def video(self, camera: int, chunk: int) -> Path:
        return self.root / "videos" / f"camera_{camera}" / f"{self.clip}_{chunk}.mp4"

    def layout(self, camera: int, chunk: int) -> Path:
        return self.root / "control_input_hdmap_bbox" / f"camera_{camera}" / f"{self.clip}_{chunk}.mp4"

    def write(self) -> Path:
        for (camera, chunk), frames in self.frames.items():
            write_video(self.video(camera, chunk), frames, self.rates.get((camera, chunk), 30))
        for (camera, chunk), frames in self.layouts.items():
            write_video(self.layout(camera, chunk), frames, self.rates.get((camera, chunk), 30))
        return self.root


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "rig")


def close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether images are the same but for what H.264 and scaling lose: neighbouring frames are farther apart."""
    return bool(np.abs(a.astype(float) - b).mean() < 4)
