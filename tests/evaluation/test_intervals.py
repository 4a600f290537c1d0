import numpy as np
import pytest

from evaluation.report import Statistics
from evaluation.statistics import interval_over_logs, student_point

STATISTICS = Statistics(resamples=1000, seed=0)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 20, 99])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99, 0.9975])
def test_the_points_of_students_t_are_those_of_scipy(freedom, confidence):
    from scipy.stats import t

    assert student_point(confidence, freedom) == pytest.approx(t.ppf((1 + confidence) / 2, freedom), rel=1e-8)


def logs(n):
    return [f"l{i}" for i in range(n)]


def test_below_three_logs_there_is_no_interval():
    assert interval_over_logs([1.0, 2.0, 3.0], ["a", "b", "b"], STATISTICS) is None


def test_equal_differences_leave_no_doubt_and_none_at_all_is_a_tie():
    assert interval_over_logs([0.25] * 5, logs(5), STATISTICS).low == 0.25
    assert interval_over_logs([0.0] * 5, logs(5), STATISTICS).covers_zero


def test_more_comparisons_at_once_make_it_wider():
    values = [1.0, 2.0, 0.5, 1.5, 2.5]
    one, five = (interval_over_logs(values, logs(5), STATISTICS, slices) for slices in (1, 5))
    ratio = student_point(0.99, 4) / student_point(0.95, 4)
    assert (five.high - 1.5) / (one.high - 1.5) == pytest.approx(ratio)
    assert (five.low - 1.5) / (one.low - 1.5) == pytest.approx(ratio)


@pytest.mark.parametrize(("n", "slices"), [(4, 1), (8, 1), (8, 5)])
def test_ties_are_told_apart_no_more_often_than_the_confidence_says(n, slices):
    """The binomial bound is five standard deviations above the nominal share; the plain bootstrap is far above it."""
    rng, draws = np.random.default_rng(n), 300
    told = sum(
        not interval_over_logs(rng.normal(size=n).tolist(), logs(n), STATISTICS, slices).covers_zero
        for _ in range(draws)
    )
    share = 0.05 / slices
    assert told <= draws * share + 5 * np.sqrt(draws * share * (1 - share))
