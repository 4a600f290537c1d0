import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from evaluation.metrics.image import psnr, ssim, ssim_map
from worldmodel.errors import DataError


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8), truth


def test_identical_images_get_the_cap_of_100_db_and_an_ssim_of_one(pair):
    assert psnr(pair[1], pair[1]) == 100.0
    assert ssim(pair[1], pair[1]) == pytest.approx(1.0, abs=1e-12)


def test_an_error_of_a_tenth_everywhere_is_20_db():
    assert psnr(np.full((8, 8, 3), 0.6), np.full((8, 8, 3), 0.5)) == pytest.approx(20.0, abs=1e-9)


def test_black_against_white_is_0_db():
    assert psnr(np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)) == 0.0


def test_psnr_and_ssim_are_those_of_skimage(pair):
    predicted, truth = (image / 255.0 for image in pair)
    assert psnr(*pair) == pytest.approx(peak_signal_noise_ratio(truth, predicted, data_range=1.0), abs=1e-9)
    reference = structural_similarity(truth, predicted, data_range=1.0, channel_axis=-1)
    assert ssim(*pair) == pytest.approx(reference, abs=1e-12)


def test_uint8_and_float_images_mean_the_same(pair):
    assert psnr(pair[0] / 255.0, pair[1]) == pytest.approx(psnr(*pair), abs=1e-12)
    assert ssim(pair[0] / 255.0, pair[1]) == pytest.approx(ssim(*pair), abs=1e-12)


def test_floats_outside_the_unit_range_are_clamped():
    assert psnr(np.full((8, 8, 3), 7.0), np.ones((8, 8, 3))) == 100.0


def test_a_mask_of_everything_changes_nothing(pair):
    everything = np.ones((20, 30), bool)
    assert psnr(*pair, everything) == pytest.approx(psnr(*pair), abs=1e-12)
    assert ssim(*pair, everything) == pytest.approx(ssim(*pair), abs=1e-12)


def test_a_mask_counts_only_its_own_pixels():
    truth, mask = np.zeros((8, 8, 3)), np.zeros((8, 8), bool)
    predicted = truth.copy()
    predicted[0, 0], predicted[7, 7], mask[0, 0] = 0.1, 1.0, True
    assert psnr(predicted, truth, mask) == pytest.approx(20.0, abs=1e-9)


def test_a_fully_masked_image_gives_none_and_no_nan(pair):
    nothing = np.zeros((20, 30), bool)
    assert psnr(*pair, nothing) is None
    assert ssim(*pair, nothing) is None


def test_a_region_in_the_border_that_ssim_leaves_out_gives_none(pair):
    border = np.ones((20, 30), bool)
    border[3:-3, 3:-3] = False
    assert ssim(*pair, border) is None
    assert psnr(*pair, border) is not None


def test_nan_in_a_float_image_stays_nan():
    predicted = np.full((8, 8, 3), 0.5)
    predicted[4, 4, 1] = np.nan
    assert np.isnan(psnr(predicted, np.zeros((8, 8, 3))))


def test_ssim_map_lacks_the_border_of_the_window(pair):
    assert ssim_map(*pair).shape == (14, 24)


@pytest.mark.parametrize("shape", [(20, 30, 4), (20, 29, 3), (20, 30), (2, 20, 30, 3)])
def test_a_shape_mismatch_raises_with_both_shapes(pair, shape):
    for metric in (psnr, ssim):
        with pytest.raises(DataError, match=r"20, 30, 3") as error:
            metric(np.zeros(shape, np.uint8), pair[1])
        assert str(list(shape)) in error.value.got


def test_an_image_smaller_than_the_window_raises():
    with pytest.raises(DataError, match="smaller than the window"):
        ssim(np.zeros((6, 9, 3)), np.zeros((6, 9, 3)))
