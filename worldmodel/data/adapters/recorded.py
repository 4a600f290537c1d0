"""What the adapters for recorded driving share: the folder and its licence, the thinning, the cut into clips."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldmodel.errors import DataError

# 29.97 Hz counts as 30
RATE_TOLERANCE = 0.01


@dataclass(frozen=True)
class RecordedFolder:
    """A folder of recorded driving as a source; adapters add `log_ids` and `read_log`.

    Attributes:
        name: of the source; log ids begin with it.
        root: the folder.
        content_digest: digest of the folder's content.
        size: height and width of the images to make.
        clip_frames: a log is cut evenly into the fewest clips of at most this many frames.
        rate_hz: faster logs are thinned to this by a whole factor; a rate that is no multiple is kept.
        stated_licence: for a folder without a LICENSE file.
    """

    name: str
    root: Path
    content_digest: str
    size: tuple[int, int]
    clip_frames: int
    rate_hz: float = 10.0
    stated_licence: str | None = None

    @property
    def licence(self) -> str:
        """`MIT` of a LICENSE file that begins with "The MIT License", or the stated one. Raises DataError for none."""
        path = self.root / "LICENSE"
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        titles = [line.strip().removeprefix("The ").removesuffix(" License") for line in lines if line.strip()]
        if titles:
            return titles[0]
        if self.stated_licence:
            return self.stated_licence
        fix = "put the licence's text there, or name it in prepare.licences: data without a licence are not used"
        raise DataError(f"{self.name}: no file LICENSE", expected="the licence's name in its first line", fix=fix)

    def digest(self) -> str:
        """Content digest of the folder."""
        return self.content_digest

    def thinning(self, rate_hz: float) -> int:
        """The n of which every n-th frame of a log of this rate is kept."""
        factor = round(rate_hz / self.rate_hz)
        return factor if factor > 1 and abs(rate_hz / (factor * self.rate_hz) - 1) <= RATE_TOLERANCE else 1

    def windows(self, n_frames: int) -> list[NDArray[np.int64]]:
        """The frames of each clip of a log: as even as can be, of at most `clip_frames`."""
        return np.array_split(np.arange(n_frames), -(-n_frames // self.clip_frames))


def cover_and_cut(image: Image.Image, size: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[float, float], float]:
    """An image scaled to cover a size and cut at its centre, each new pixel the mean of what it covers.

    Args:
        image: of any size and mode.
        size: height and width to make.

    Returns:
        RGB pixels [H, W, 3]; the corner (left, top) of the cut in pixels of the image; the scale.
    """
    height, width = size
    scale = max(width / image.width, height / image.height)
    left, top = (image.width - width / scale) / 2, (image.height - height / scale) / 2
    box = (left, top, left + width / scale, top + height / scale)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    pixels = rgb.resize((width, height), Image.Resampling.BOX, box)
    return np.asarray(pixels), (left, top), scale
