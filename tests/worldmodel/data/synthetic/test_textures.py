import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.data.synthetic.textures import NOISE_SIZE, band, cell_hash, noise, pulse


def _mean(samples: np.ndarray) -> float:
    return float(samples.mean())


@given(st.floats(-20, 20), st.floats(0.01, 5), st.floats(0.05, 0.95))
def test_a_pulse_is_its_mean_over_the_footprint(x: float, width: float, duty: float) -> None:
    fine = np.linspace(x - width / 2, x + width / 2, 20001)
    filtered = pulse(np.array([x]), np.array([width]), duty)[0]
    assert filtered == pytest.approx(_mean(np.mod(fine, 1) < duty), abs=2e-3)


@given(st.floats(-3, 3), st.floats(0.01, 5))
def test_a_band_is_its_mean_over_the_footprint(x: float, width: float) -> None:
    fine = np.linspace(x - width / 2, x + width / 2, 20001)
    filtered = band(np.array([x]), np.array([width]), -0.5, 1.0)[0]
    assert filtered == pytest.approx(_mean((fine >= -0.5) & (fine <= 1.0)), abs=2e-3)


def _grid(step: float) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.meshgrid(np.arange(0, NOISE_SIZE, step) + 0.5 * step, np.arange(0, NOISE_SIZE, step) + 0.5 * step)
    return u.astype(np.float32), v.astype(np.float32)


def test_noise_has_zero_mean_and_unit_deviation() -> None:
    u, v = _grid(1)
    values = noise(u, v, np.ones_like(u))
    assert abs(values.mean()) < 1e-3
    assert values.std() == pytest.approx(1, abs=0.01)


def test_noise_over_a_footprint_is_the_mean_of_fine_noise() -> None:
    u, v = _grid(1)
    fine = noise(u, v, np.ones_like(u)).reshape(NOISE_SIZE // 8, 8, NOISE_SIZE // 8, 8).mean((1, 3))
    u, v = _grid(8)
    np.testing.assert_allclose(noise(u, v, np.full_like(u, 8)), fine, atol=1e-4)


def test_noise_is_the_same_everywhere_for_a_footprint_as_wide_as_the_texture() -> None:
    u, v = _grid(16)
    assert noise(u, v, np.full_like(u, 4 * NOISE_SIZE)).std() < 1e-2


def test_noise_tiles() -> None:
    u, v = _grid(8)
    width = np.full_like(u, 2)
    np.testing.assert_allclose(noise(u + 3 * NOISE_SIZE, v - NOISE_SIZE, width), noise(u, v, width), atol=1e-4)


def test_noise_has_a_one_over_f_squared_power_spectrum() -> None:
    u, v = _grid(1)
    power = np.abs(np.fft.fft2(noise(u, v, np.ones_like(u)))) ** 2
    frequency = np.hypot(np.fft.fftfreq(NOISE_SIZE)[:, None], np.fft.fftfreq(NOISE_SIZE))
    low, high = (power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (0.01, 0.1))
    assert np.log10(high / low) == pytest.approx(-2, abs=0.15)


def test_cell_hashes_are_even_and_differ_between_cells() -> None:
    x, y = (grid.astype(np.float32).ravel() for grid in np.meshgrid(np.arange(-50, 50), np.arange(-50, 50)))
    values = cell_hash(x, y)
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert len(np.unique(values)) > 9900
    assert counts.min() > 850
    assert counts.max() < 1150
