"""95 % intervals of Fréchet and kernel distances, by a jackknife that leaves out one log at a time.

Rows of one log are not independent, so what is left out is a log; those of the generated set and those of the reference
each add their variance (two-sample jackknife; Efron and Stein 1981), and the interval is Student's, over the smaller
number of logs less one. It is about the distance at this n, whose bias it does not remove. A bootstrap with replacement
has no place here: rows drawn twice lower the rank and raise a Fréchet distance by more than its spread.

Measured on normal features of 400 dimensions whose variances fall off as those of real ones do (3 rows a log; 4, 8 and
16 logs a set; 120 draws each): the standard error is 5 to 39 % too wide for a distance and 14 to 56 % for a paired
difference, never too narrow; intervals cover 96 to 100 %. Halves of the logs, drawn without replacement, give one that
is 14 to 96 % too wide.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_LOGS = 4
METHOD = "delete-one-log jackknife over generated and reference logs, Student's t"
_NORMAL_975 = 1.959963984540054

Matrix = NDArray[np.float64]
Distance = Callable[[Matrix, Matrix], float]
Statistic = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]


@dataclass(frozen=True)
class LogRows:
    """Features [N, d], and the log of each row."""

    values: Matrix
    logs: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.logs):
            raise ValueError(f"{len(self.values)} rows but {len(self.logs)} log ids")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, or with the reason for having none.

    Attributes:
        value: over all rows.
        ci95: low and high end.
        no_interval: why there is none.
        method: how the interval was made.
    """

    value: float
    ci95: tuple[float, float] | None
    no_interval: str | None
    method: str = METHOD


def distance_interval(distance: Distance, reference: LogRows, generated: LogRows) -> Estimate:
    """A distance of generated rows to reference rows, with its interval.

    Args:
        distance: `frechet` or `kernel_distance`.
        reference: rows to compare with.
        generated: rows of the method.
    """

    def statistic(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
        return distance(reference.values[ours], generated.values[theirs])

    return _jackknife(statistic, reference.logs, generated.logs)


def difference_interval(distance: Distance, reference: LogRows, generated: LogRows, other: Matrix) -> Estimate:
    """The paired difference distance(generated) - distance(other), both to the same reference, with its interval.

    Args:
        distance: `frechet` or `kernel_distance`.
        reference: rows to compare with.
        generated: rows of the method.
        other: rows of another method for the same clips, in the same order.
    """
    if other.shape != generated.values.shape:
        raise ValueError(f"paired rows differ in shape: {generated.values.shape} and {other.shape}")

    def statistic(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
        rows = reference.values[ours]
        return distance(rows, generated.values[theirs]) - distance(rows, other[theirs])

    return _jackknife(statistic, reference.logs, generated.logs)


def why_no_distance_interval(reference_logs: Sequence[str], generated_logs: Sequence[str]) -> str | None:
    """The reason for having no interval with these logs, or None."""
    for name, logs in (("generated", generated_logs), ("reference", reference_logs)):
        n = len(set(logs))
        if n < MIN_LOGS:
            return f"{n} {name} {'log' if n == 1 else 'logs'}: an interval over logs needs {MIN_LOGS}"
    return None


def _jackknife(statistic: Statistic, reference_logs: Sequence[str], generated_logs: Sequence[str]) -> Estimate:
    ours, theirs = np.asarray(reference_logs), np.asarray(generated_logs)
    all_ours, all_theirs = np.ones(len(ours), bool), np.ones(len(theirs), bool)
    value = statistic(all_ours, all_theirs)
    reason = why_no_distance_interval(reference_logs, generated_logs)
    if reason is not None:
        return Estimate(value, None, reason)
    without_ours = [statistic(ours != log, all_theirs) for log in np.unique(ours)]
    without_theirs = [statistic(all_ours, theirs != log) for log in np.unique(theirs)]
    error = np.sqrt(_variance(without_ours) + _variance(without_theirs))
    half = float(student_975(min(len(without_ours), len(without_theirs)) - 1) * error)
    return Estimate(value, (value - half, value + half), None)


def _variance(left_out: Sequence[float]) -> float:
    """The jackknife's variance from the statistic without each log in turn."""
    n = len(left_out)
    return float((n - 1) * np.var(left_out))


def student_975(freedom: int) -> float:
    """The 97.5 % point of Student's t, within 0.2 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = _NORMAL_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
