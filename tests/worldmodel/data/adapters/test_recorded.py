from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldmodel.data.adapters.recorded import RecordedFolder, cover_and_cut
from worldmodel.errors import DataError


def folder(root: Path, clip_frames: int = 20, stated: str | None = None) -> RecordedFolder:
    return RecordedFolder("street", root, "digest", (8, 12), clip_frames, 10.0, stated)


@pytest.mark.parametrize(
    ("rate_hz", "factor"), [(30.0, 3), (29.97, 3), (60.0, 6), (10.0, 1), (25.0, 1), (12.0, 1), (2.0, 1)]
)
def test_rates_are_thinned_by_whole_factors_alone(rate_hz: float, factor: int, tmp_path: Path) -> None:
    assert folder(tmp_path).thinning(rate_hz) == factor


def test_logs_are_cut_evenly_into_the_fewest_clips(tmp_path: Path) -> None:
    assert [len(window) for window in folder(tmp_path, 32).windows(29)] == [29]
    assert [len(window) for window in folder(tmp_path, 20).windows(29)] == [15, 14]
    assert [window.tolist() for window in folder(tmp_path, 3).windows(7)] == [[0, 1, 2], [3, 4], [5, 6]]


def test_a_licence_file_wins_over_the_stated_licence_and_one_of_them_there_must_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"street: no file LICENSE") as raised:
        _ = folder(tmp_path).licence
    assert "prepare.licences" in raised.value.fix
    assert folder(tmp_path, stated="Apache-2.0").licence == "Apache-2.0"
    (tmp_path / "LICENSE").write_text("\nThe MIT License\n\nCopyright\n")
    assert folder(tmp_path, stated="Apache-2.0").licence == folder(tmp_path).licence == "MIT"


def test_images_are_cut_at_their_centre_by_means() -> None:
    # 4 x 12 covers 2 x 3 at half scale; 6 of 12 columns remain, those from 3 on
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 12)
    cut, corner, scale = cover_and_cut(Image.fromarray(pixels), (2, 3))
    assert (corner, scale) == ((3, 0), 0.5) and cut.shape == (2, 3, 3)
    assert cut[0, 0, 0] == round((3 + 4 + 15 + 16) / 4) and cut[1, 2, 2] == round((31 + 32 + 43 + 44) / 4)
