import numpy as np
import pytest

from evaluation.metrics import distance_at_infinity
from evaluation.metrics.distance_at_infinity import FEWEST_LOGS, at_infinity
from evaluation.metrics.distance_intervals import LogRows
from evaluation.metrics.distances import frechet


def rows(seed: int, n: int, shift: float = 0.0) -> LogRows:
    values = np.random.default_rng(seed).normal(shift, 1, (n, 4))
    return LogRows(values, [f"log-{i}" for i in range(n)])


def test_a_bias_of_one_over_n_is_taken_off_exactly() -> None:
    """The statistic 7 + 30 / n of the generated rows, whatever they are."""
    found = at_infinity(lambda _, made: 7 + 30 / len(made), rows(0, FEWEST_LOGS), rows(1, FEWEST_LOGS), 0)
    assert found == pytest.approx(7.0, rel=1e-9)


def test_it_takes_off_most_of_the_bias_of_a_frechet_distance() -> None:
    """Four dimensions, a shift of 1 in each: 4."""
    plain, extrapolated = [], []
    for seed in range(12):
        reference, made = rows(2 * seed, 100), rows(2 * seed + 1, 100, 1.0)
        plain.append(frechet(reference.values, made.values) - 4)
        extrapolated.append((at_infinity(frechet, reference, made, seed) or np.nan) - 4)
    assert np.mean(plain) > 0.05 and abs(np.mean(extrapolated) - np.mean(plain)) > 0.05
    assert abs(np.mean(extrapolated)) < 2 * np.std(extrapolated) / np.sqrt(12)


def test_what_is_left_out_is_logs_and_the_draws_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance_at_infinity, "FEWEST_LOGS", 4)
    two_a_log = LogRows(rows(0, 8).values, list("aabbccdd"))
    sizes: list[int] = []

    def count(reference: np.ndarray, made: np.ndarray) -> float:
        sizes.append(len(made))
        assert sum((made == row).all(1).any() for row in two_a_log.values) == len(made)
        return frechet(reference, made)

    first = at_infinity(count, two_a_log, two_a_log, 3)
    assert {size % 2 for size in sizes} == {0} and min(sizes) == 4 and max(sizes) == 8
    assert first == at_infinity(frechet, two_a_log, two_a_log, 3)


def test_below_the_fewest_logs_there_is_none() -> None:
    enough, few = rows(0, FEWEST_LOGS), rows(1, FEWEST_LOGS - 1)
    assert at_infinity(frechet, enough, few, 0) is None and at_infinity(frechet, few, enough, 0) is None
