import numpy as np
import pytest

from evaluation.metrics.distance_intervals import (
    MAX_GROUPS,
    LogRows,
    difference_interval,
    distance_interval,
    replicates,
    why_no_distance_interval,
)
from evaluation.metrics.distances import frechet, kernel_distance
from evaluation.statistics import student_point
from worldmodel.errors import DataError

LOGS = ["a", "a", "b", "c", "c", "d"]


def rows(seed: int, logs: list[str] = LOGS, d: int = 3) -> LogRows:
    return LogRows(np.random.default_rng(seed).normal(size=(len(logs), d)), logs)


def mean_difference(reference: np.ndarray, generated: np.ndarray) -> float:
    return float(generated.mean() - reference.mean())


def test_of_a_mean_it_is_students_interval_by_hand() -> None:
    """Generated logs 1, 3, 5, 7: mean 4, variance 20/3, its mean's 5/3; reference logs all 0; t of 3 is 3.18."""
    reference = LogRows(np.zeros((4, 1)), list("abcd"))
    generated = LogRows(np.array([[1.0], [3], [5], [7]]), list("efgh"))
    found = distance_interval(mean_difference, reference, generated)
    assert found.value == 4.0 and found.no_interval is None and found.ci95 is not None
    assert found.ci95 == pytest.approx((4 - 3.1824 * np.sqrt(5 / 3), 4 + 3.1824 * np.sqrt(5 / 3)), abs=0.01)
    assert "jackknife" in found.method


def test_both_sets_of_logs_add_their_variance() -> None:
    """Logs 0, 2, 4, 6 on both sides: the variance of each mean is 5/3."""
    logs = LogRows(np.array([[0.0], [2], [4], [6]]), list("abcd"))
    found = distance_interval(mean_difference, logs, LogRows(logs.values + 1, list("efgh")))
    assert found.ci95 is not None
    assert found.ci95[1] - found.value == pytest.approx(student_point(0.95, 3) * np.sqrt(10 / 3), rel=1e-12)


def test_what_is_left_out_is_a_log_and_not_a_row() -> None:
    """Each row twice is no more than each row once."""
    single = [LogRows(rows(s, list("abcd")).values, list("abcd")) for s in (0, 1)]
    double = [LogRows(np.repeat(r.values, 2, axis=0), list("aabbccdd")) for r in single]
    once, twice = (distance_interval(mean_difference, *pair) for pair in (single, double))
    assert once.ci95 is not None and twice.ci95 == pytest.approx(once.ci95, rel=1e-12)


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
def test_the_interval_lies_around_the_distance(distance) -> None:
    reference, generated = rows(0), rows(1)
    found = distance_interval(distance, reference, generated)
    assert found.value == distance(reference.values, generated.values)
    assert found.ci95 is not None and found.ci95[0] < found.value < found.ci95[1]


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
def test_two_methods_that_hardly_differ_have_a_far_narrower_difference(distance) -> None:
    reference, generated = rows(0), rows(1)
    other = generated.values + 0.01 * rows(2).values
    alone = distance_interval(distance, reference, generated)
    paired = difference_interval(distance, reference, generated, other)
    assert paired.value == alone.value - distance(reference.values, other)
    assert alone.ci95 is not None and paired.ci95 is not None
    assert paired.ci95[1] - paired.ci95[0] < 0.1 * (alone.ci95[1] - alone.ci95[0])


def test_a_method_against_itself_differs_by_nothing() -> None:
    generated = rows(1)
    assert difference_interval(frechet, rows(0), generated, generated.values).ci95 == (0.0, 0.0)


def test_too_few_logs_give_the_value_and_the_reason() -> None:
    few = LogRows(rows(1).values[:3], ["a", "b", "c"])
    found = distance_interval(frechet, rows(0), few)
    assert found.ci95 is None and found.value == frechet(rows(0).values, few.values)
    assert found.no_interval == "3 generated logs: an interval over logs needs 4"
    assert distance_interval(frechet, few, rows(0)).no_interval == "3 reference logs: an interval over logs needs 4"
    assert why_no_distance_interval(LOGS, ["a"]) == "1 generated log: an interval over logs needs 4"
    assert why_no_distance_interval(LOGS, LOGS) is None


def test_it_covers_the_mean_distance_and_is_somewhat_too_wide() -> None:
    """60 pairs of sets from one distribution, 8 logs of 2 rows each; at least 52 of 95 % intervals hold the mean."""
    logs = [name for name in "abcdefgh" for _ in range(2)]
    found = [distance_interval(frechet, rows(2 * i, logs, 20), rows(2 * i + 1, logs, 20)) for i in range(60)]
    mean = np.mean([estimate.value for estimate in found])
    held = [estimate.ci95[0] <= mean <= estimate.ci95[1] for estimate in found if estimate.ci95]
    assert sum(held) >= 52
    spread = np.std([estimate.value for estimate in found])
    width = np.mean([estimate.ci95[1] - estimate.value for estimate in found if estimate.ci95]) / student_point(0.95, 7)
    assert 0.9 * spread < width < 1.8 * spread


def test_rows_that_do_not_pair_are_refused() -> None:
    with pytest.raises(DataError, match="6 rows, 2 logs"):
        LogRows(np.zeros((6, 2)), ["a", "b"])
    with pytest.raises(DataError, match=r"paired features differ in shape(.|\n)*\[6, 3\] and \[5, 3\]"):
        difference_interval(frechet, rows(0), rows(1), np.zeros((5, 3)))
    five = replicates(frechet, rows(0, list("abcde")), rows(1, list("abcde")))
    with pytest.raises(DataError, match="cannot be paired"):
        five - replicates(frechet, rows(0), rows(1))


def test_many_logs_are_left_out_in_groups_each_of_them_once() -> None:
    names = [f"log-{i}" for i in range(2 * MAX_GROUPS + 1)]
    single = LogRows(np.arange(len(names), dtype=float)[:, None], names)
    found = replicates(lambda _, made: float(made.sum()), single, single)
    left_out = found.value - found.without_generated
    assert len(left_out) == MAX_GROUPS and left_out.sum() == found.value
    assert sorted(set(np.round(left_out))) != sorted(range(len(names)))
    again = replicates(lambda _, made: float(made.sum()), single, LogRows(single.values[::-1], names[::-1]))
    assert sorted(again.without_generated) == sorted(found.without_generated)


def test_groups_of_logs_give_an_interval_as_wide_as_the_spread() -> None:
    """The mean of 100 logs of variance 1, and of 100 reference logs: the error is sqrt(2 / 100)."""
    names = [f"log-{i}" for i in range(100)]
    halves = []
    for seed in range(40):
        found = distance_interval(mean_difference, rows(2 * seed, names, 1), rows(2 * seed + 1, names, 1))
        assert found.ci95 is not None
        halves.append((found.ci95[1] - found.value) / student_point(0.95, MAX_GROUPS - 1))
    assert np.mean(halves) == pytest.approx(np.sqrt(2 / 100), rel=0.06)
