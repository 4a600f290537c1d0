"""Means over clips and their 95 % intervals, by a bootstrap that resamples whole logs.

Frames of a clip and clips of a log are not independent, so the resampled unit is the log (cluster bootstrap; Cameron,
Gelbach and Miller 2008). The estimate stays the mean over clips: a resample pools the clips of the logs drawn. Below
`MIN_LOGS` logs no interval is given, because one made of one or two clusters is far too narrow. Left out: correction
for many comparisons. Intervals of Fréchet and kernel distances are in `evaluation.metrics.distance_intervals`.
"""

from collections.abc import Sequence

import numpy as np

from evaluation.base import Interval
from evaluation.report import Statistics

MIN_LOGS = 3


def mean_over_clips(values: Sequence[float]) -> float:
    """The plain mean; `values` holds one number a clip."""
    return float(np.mean(np.asarray(values, dtype=np.float64)))


def cluster_interval(
    values: Sequence[float], logs: Sequence[str], resamples: int, seed: int
) -> tuple[float, float] | None:
    """95 % percentile interval of the mean over clips, or None below `MIN_LOGS` logs.

    Args:
        values: one finite number a clip.
        logs: the log each clip belongs to, in the same order.
        resamples: how many times the logs are drawn with replacement.
        seed: of a generator of this call's own, so that an interval does not depend on which others were computed.
    """
    if len(values) != len(logs):
        raise ValueError(f"cluster_interval: {len(values)} values but {len(logs)} log ids")
    names = sorted(set(logs))
    if len(names) < MIN_LOGS:
        return None
    index = np.searchsorted(names, list(logs))
    sums = np.bincount(index, weights=np.asarray(values, dtype=np.float64), minlength=len(names))
    counts = np.bincount(index, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(0, len(names), size=(resamples, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def interval_over_logs(values: Sequence[float], logs: Sequence[str], statistics: Statistics) -> Interval | None:
    """`cluster_interval` as a record, None below the fewest logs (`why_no_interval` says so)."""
    found = cluster_interval(values, logs, statistics.resamples, statistics.seed)
    return None if found is None else Interval(low=found[0], high=found[1])


def why_no_interval(logs: Sequence[str]) -> str | None:
    """The reason `cluster_interval` gives None for these logs, or None when it gives an interval."""
    n = len(set(logs))
    return None if n >= MIN_LOGS else f"{n} {'log' if n == 1 else 'logs'}: an interval over logs needs {MIN_LOGS}"
