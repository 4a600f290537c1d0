import base64
import io

import av
import numpy as np
import pytest

from evaluation.page.sheets import LARGEST_TILE_PX, make_sheet


def videos(n, frames=4, height=24, width=32):
    """Pictures that differ by video and by frame: 10, 50, ... and 8 more each frame."""
    return [
        np.stack([np.full((height, width, 3), 10 + 40 * k + 8 * t, np.uint8) for t in range(frames)]) for k in range(n)
    ]


def decoded(uri):
    head, _, data = uri.partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(data))) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_every_picture_is_at_its_place_in_every_frame():
    found = videos(5)
    sheet = make_sheet(found, 3, 10.0, 10**6)
    frames = decoded(sheet.uri)
    assert len(frames) == 4 and frames[0].shape == (sheet.height, sheet.width, 3) == (96, 192, 3)
    for t, frame in enumerate(frames):
        for video, at in zip(found, sheet.places, strict=True):
            tile = frame[at.y : at.y + at.height, at.x : at.x + at.width].astype(int)
            assert abs(tile[4:-4, 4:-4] - int(video[t, 0, 0, 0])).max() <= 3


def test_the_same_videos_give_the_same_bytes():
    assert make_sheet(videos(2), 2, 10.0, 10**6) == make_sheet(videos(2), 2, 10.0, 10**6)


@pytest.mark.parametrize(("size", "tile"), [((24, 32), (48, 64)), ((300, 400), (300, 400)), ((33, 640), (24, 480))])
def test_small_pictures_are_doubled_and_large_ones_made_smaller_of_even_size(size, tile):
    sheet = make_sheet(videos(1, 2, *size), 1, 10.0, 10**7)
    assert (sheet.places[0].height, sheet.places[0].width) == tile
    assert tile[1] <= LARGEST_TILE_PX


def test_a_video_that_is_too_large_is_coded_more_coarsely():
    noise = [np.random.default_rng(0).integers(0, 255, (6, 64, 96, 3), dtype=np.uint8)]
    fine, coarse = make_sheet(noise, 1, 10.0, 10**9), make_sheet(noise, 1, 10.0, 60_000)
    size = len("data:video/mp4;base64,")
    assert len(coarse.uri) <= size + 60_000 * 4 / 3 < len(fine.uri)
