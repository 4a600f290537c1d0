import wave
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from tests.worldmodel.data.adapters.conftest import HEIGHT, WIDTH, close, drive, write_video
from worldmodel.data.adapters.video_frames import open_video
from worldmodel.errors import DataError

SIZE = (16, 24)


def read(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    with open_video(path, "drive.mp4") as video:
        return np.stack([picture.pixels(size) for picture in video.pictures()])


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "drive.mp4", drive(0, 0, 12))


def test_frames_come_back_in_order_with_their_rate(video: Path) -> None:
    frames = read(video)
    assert frames.dtype == np.uint8 and frames.shape == (12, HEIGHT, WIDTH, 3)
    assert all(close(a, b) for a, b in zip(frames, drive(0, 0, 12), strict=True))
    assert not close(frames[3], drive(0, 4, 1)[0])
    with open_video(video, "drive.mp4") as opened:
        assert opened.rate_hz == 30


def test_decoding_twice_gives_the_same_bytes(video: Path) -> None:
    assert read(video, SIZE).tobytes() == read(video, SIZE).tobytes()


def test_frames_cover_the_size_cut_at_the_centre_by_means(tmp_path: Path) -> None:
    # 32 x 64 covers 16 x 24 at half scale: 24 of 32 columns remain, 8 pixels of the video are cut on either side
    frames = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    frames[:, :, :8], frames[:, :, 56:] = (255, 0, 0), (0, 0, 255)
    frames[:, :16, 8:56] = 200
    small = read(write_video(tmp_path / "drive.mp4", frames), SIZE)
    assert small.shape == (2, *SIZE, 3)
    assert np.abs(small[:, :7, 2:22].astype(int) - 200).max() < 8 and small[:, 9:, 2:22].max() < 8


def test_a_thumbnail_shows_the_whole_frame(video: Path) -> None:
    with open_video(video, "drive.mp4") as opened:
        thumbnail = next(opened.pictures()).thumbnail((8, 16))
    means = drive(0, 0, 1)[0].reshape(8, 4, 16, 4, 3).mean((1, 3))
    assert thumbnail.shape == (8, 16, 3) and np.abs(thumbnail - means).mean() < 10


def test_reading_may_end_early(video: Path) -> None:
    with open_video(video, "drive.mp4") as opened:
        assert len(list(islice(opened.pictures(), 3))) == 3
    video.unlink()


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(path.parent) not in str(raised.value), "no paths of this machine"
    return raised.value


@pytest.mark.parametrize("content", [b"", b"no video at all", None])
def test_what_is_no_video_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    if content is not None:
        path.write_bytes(content)
    assert refusal(path).what == "drive.mp4 cannot be read"


def test_a_file_without_a_video_stream_is_named(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "drive.mp4"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    assert refusal(tmp_path / "drive.mp4").what == "drive.mp4 holds no video"


def packets(path: Path) -> list[tuple[int, int, int]]:
    """Place, size and frame number of each packet."""
    with av.open(str(path)) as container:
        found = [(p.pos, p.size, p.pts) for p in container.demux(video=0)]
        step = container.streams.video[0].time_base
    assert step is not None
    return [(int(pos or 0), size, round(pts * step * 30)) for pos, size, pts in found if pts is not None]


def test_a_damaged_frame_is_named_by_its_number(video: Path) -> None:
    place, size, number = packets(video)[6]
    data = bytearray(video.read_bytes())
    data[place + 5 : place + size] = np.random.default_rng(0).bytes(size - 5)
    video.write_bytes(data)
    assert refusal(video).what == f"drive.mp4: frame {number} does not decode"


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mkv", drive(0, 0, 12)).rename(tmp_path / "drive.mp4")
    assert len(read(path)) == 12
    cut = write_video(tmp_path / "cut.mp4", drive(0, 0, 12))
    data = cut.read_bytes()
    index = data.index(b"moov") - 4
    media = data.index(b"mdat") - 4
    assert media < index
    place, _, _ = packets(cut)[9]
    cut.write_bytes(data[:place] + bytes(index - place) + data[index:])
    assert "cut.mp4" not in refusal(cut).what and "drive.mp4" in refusal(cut).what


def test_a_dropped_frame_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mp4", drive(0, 0, 11), times=[0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    error = refusal(path)
    assert error.what == "drive.mp4: frame 5 is not at its time" and "0.067 s" in error.got
