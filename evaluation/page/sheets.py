"""The videos of a player as one video: every picture has its place on a sheet, so they can never be out of step.

The page cuts the sheet into one canvas a picture. One decoder shows all of them, and one frame number counts for all.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.pictures.movie import mp4_bytes
from evaluation.pictures.style import Pixels

LARGEST_TILE_PX, LARGEST_SHEET_PX = 480, 3840
_QUALITIES = (18, 23, 28, 33, 38)


@dataclass(frozen=True)
class Place:
    """Where a picture is on the sheet, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Sheet:
    """A video as a data: URI, its size, and the place of every picture."""

    uri: str
    width: int
    height: int
    places: tuple[Place, ...]


def make_sheet(videos: Sequence[Pixels], columns: int, rate_hz: float, largest_bytes: int) -> Sheet:
    """Videos [T, H, W, 3] of one size, in rows of `columns`, at the best quality that stays under a size.

    Small videos are doubled: that keeps their colours, which H.264 halves. Large ones are scaled down.
    """
    rows = -(-len(videos) // columns)
    height, width = _tile_size(videos[0].shape[1], videos[0].shape[2], rows, columns)
    tiles = [_scaled(video, height, width) for video in videos]
    places = tuple(Place(i % columns * width, i // columns * height, width, height) for i in range(len(tiles)))
    sheet = np.zeros((len(videos[0]), rows * height, columns * width, 3), np.uint8)
    for tile, at in zip(tiles, places, strict=True):
        sheet[:, at.y : at.y + height, at.x : at.x + width] = tile
    for crf in _QUALITIES:
        data = mp4_bytes(list(sheet), rate_hz, crf)
        if len(data) <= largest_bytes:
            break
    uri = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
    return Sheet(uri, columns * width, rows * height, places)


def _tile_size(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Even sides: twice the video's where that is small, else as large as a tile and a sheet may be."""
    room = min(LARGEST_TILE_PX / width, LARGEST_SHEET_PX / (columns * width), LARGEST_SHEET_PX / (rows * height))
    scale = 2.0 if room >= 2 else min(room, 1.0)
    return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)


def _scaled(video: Pixels, height: int, width: int) -> Pixels:
    from PIL import Image

    if video.shape[1:3] == (height, width):
        return video
    kind = Image.Resampling.NEAREST if height > video.shape[1] else Image.Resampling.BOX
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), kind)) for frame in video])
