import numpy as np
import pytest

from evaluation.report import Statistics
from evaluation.statistics import cluster_interval, interval_over_logs, mean_over_clips, why_no_interval

LOGS = ["a", "a", "b", "c", "c", "d"]
VALUES = [1.0, 2.0, 5.0, 3.0, 4.0, 9.0]


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    first = cluster_interval(VALUES, LOGS, 200, seed=1)
    assert first == cluster_interval(VALUES, LOGS, 200, seed=1)
    assert first != cluster_interval(VALUES, LOGS, 200, seed=2)


def test_the_interval_does_not_depend_on_how_logs_are_named_or_clips_ordered():
    order = [5, 0, 3, 1, 4, 2]
    shuffled = cluster_interval([VALUES[i] for i in order], [LOGS[i] for i in order], 500, seed=0)
    assert shuffled == pytest.approx(cluster_interval(VALUES, LOGS, 500, seed=0))


def test_the_interval_contains_the_mean_and_lies_within_the_logs():
    low, high = cluster_interval(VALUES, LOGS, 2000, seed=0)
    assert 1.5 <= low < mean_over_clips(VALUES) < high <= 9.0


def test_equal_values_give_an_interval_of_no_width():
    assert cluster_interval([2.0] * 6, LOGS, 100, seed=0) == (2.0, 2.0)


def test_clips_of_one_log_are_not_independent_evidence():
    """Ten copies of each clip in the same logs must not narrow the interval."""
    once = cluster_interval([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"], 2000, seed=0)
    copied = cluster_interval([1.0, 2.0, 3.0, 4.0] * 10, ["a", "b", "c", "d"] * 10, 2000, seed=0)
    assert copied == pytest.approx(once)


def test_it_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        of_log = rng.normal(0, 1, 20)
        values = (of_log[:, None] + rng.normal(0, 0.3, (20, 4))).ravel()
        low, high = cluster_interval(list(values), [f"{i // 4}" for i in range(80)], 200, seed=trial)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_fewer_than_three_logs_give_no_interval_and_the_reason():
    assert cluster_interval([1.0, 2.0, 3.0], ["a", "a", "b"], 100, seed=0) is None
    assert why_no_interval(["a", "a", "b"]) == "2 logs: an interval over logs needs 3"
    assert why_no_interval(["a"]) == "1 log: an interval over logs needs 3"
    assert why_no_interval(["a", "b", "c"]) is None


def test_a_value_without_its_log_is_refused():
    with pytest.raises(ValueError, match="3 values but 2 log ids"):
        cluster_interval([1.0, 2.0, 3.0], ["a", "b"], 100, seed=0)


def test_an_interval_of_two_means_of_three_logs_is_as_wide_as_students_t_has_it():
    """With a deviation of 1 over 3 logs the bootstrap ends at the extremes; t at 2 degrees is 4.3027."""
    found = interval_over_logs([-1.0, 0.0, 1.0], ["a", "b", "c"], Statistics(resamples=20_000, seed=0))
    assert (found.low, found.high) == pytest.approx(
        (-1 * np.sqrt(1.5) * 4.30265 / 1.95996, np.sqrt(1.5) * 4.30265 / 1.95996), rel=1e-4
    )


def test_with_four_logs_it_leaves_out_the_truth_no_more_often_than_it_says():
    """The binomial bound is five standard deviations above 5 %; the plain bootstrap is at about 20 %."""
    rng, draws, statistics = np.random.default_rng(0), 300, Statistics(resamples=500, seed=0)
    missed = sum(
        not interval_over_logs(rng.normal(size=4).tolist(), list("abcd"), statistics).covers_zero for _ in range(draws)
    )
    assert missed <= draws * 0.05 + 5 * np.sqrt(draws * 0.05 * 0.95)
