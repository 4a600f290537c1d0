from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.card import difficulty_card, spectrum_slope
from worldmodel.data.synthetic.source import WORLD_VERSION

DGP_IMAGES = Path(__file__).parents[4].parent / "shared" / "data" / "dgp_street" / "scene_02" / "rgb"


def test_the_card_says_how_hard_the_clips_are(day_clip: Clip) -> None:
    card = difficulty_card([day_clip], context_stride=5)
    assert card["world_version"] == WORLD_VERSION
    assert card["clips"] == 1
    nearest, oracle = card["psnr_nearest_context_db"], card["psnr_oracle_reprojection_db"]
    assert isinstance(nearest, float)
    assert isinstance(oracle, float)
    assert nearest < 23
    assert oracle > nearest + 4
    assert 0 < float(card["unseen_fraction"]) < 0.2
    assert 0.01 < float(card["sky_fraction"]) < 0.4
    assert 0 <= float(card["dynamic_fraction"]) < 0.3
    assert 0 <= float(card["ego_speed_mps"]) <= 15


def test_a_card_of_several_clips_is_the_mean_of_theirs(day_clip: Clip) -> None:
    once, twice = (difficulty_card([day_clip] * n, context_stride=5) for n in (1, 2))
    assert {**once, "clips": 2} == twice


@pytest.mark.parametrize("slope", [-1.0, -2.0, -3.0])
def test_the_slope_of_noise_with_a_known_spectrum_is_found(slope: float) -> None:
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(192))
    frequency[0, 0] = np.inf
    images = []
    for _ in range(8):
        wave = np.fft.ifft2(np.fft.fft2(rng.standard_normal((128, 192))) * frequency ** (slope / 2)).real
        grey = np.clip(128 + 40 * wave / wave.std(), 0, 255).astype(np.uint8)
        images.append(np.repeat(grey[..., None], 3, -1))
    assert spectrum_slope(images) == pytest.approx(slope, abs=0.2)


def test_the_spectrum_is_like_that_of_recorded_driving(day_clip: Clip) -> None:
    files = sorted(DGP_IMAGES.rglob("*.jpg"))
    if not files:
        pytest.skip(f"no recorded images at ../shared/data of the project ({DGP_IMAGES.name} of dgp_street)")
    recorded = [_at_size(file, 64, 96) for file in files]
    drawn = day_clip.rgb.reshape(-1, 64, 96, 3)
    assert abs(spectrum_slope(recorded) - spectrum_slope(drawn)) < 0.6


def _at_size(file: Path, height: int, width: int) -> np.ndarray:
    with Image.open(file) as image:
        side = (image.width - image.height * width // height) // 2
        box = (side, 0, image.width - side, image.height)
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BOX, box))
