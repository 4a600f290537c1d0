"""Fréchet and kernel distances of generated clips to reference clips of other logs, from tables of features.

Every method is measured on the same clips against the same reference, so their numbers compare; numbers at another n do
not (a Fréchet distance of few clips is mostly bias: read it beside the true frames' own, the floor).
"""

from dataclasses import dataclass

import numpy as np

from evaluation.base import Interval
from evaluation.generation.curves import NO_VALUE
from evaluation.generation.features import FeatureTable
from evaluation.generation.recipes import Recipe
from evaluation.generation_report import VideoMetric
from evaluation.metrics.distance_at_infinity import at_infinity
from evaluation.metrics.distance_intervals import LogRows, Replicates, replicates
from evaluation.metrics.distances import frechet


@dataclass(frozen=True)
class Scored:
    """A metric of a method; of a distance also the numbers that its interval, and that of a difference, come from."""

    metric: VideoMetric
    replicates: Replicates | None = None


def score_distance(recipe: Recipe, table: FeatureTable, method: str, seed: int | None) -> Scored:
    """One distance of one method.

    Args:
        recipe: which distance.
        table: the features that it is of.
        method: one of the table.
        seed: of the draws behind `at_infinity`; None: leaves that out.
    """
    made, reference, spec = table.of(method), table.true, recipe.spec
    problem = problem_of("generated", made) or problem_of("reference", reference)
    found = None if problem else replicates(recipe.distance, reference, made)
    extrapolated = None
    if found is not None and seed is not None and recipe.distance is frechet:
        extrapolated = at_infinity(recipe.distance, reference, made, seed)
    metric = VideoMetric(
        id=spec.id,
        unit=spec.unit,
        direction=spec.direction,
        value=None if found is None else found.value,
        problem=problem,
        n_clips=len(set(table.made_rows.samples)),
        n_logs=len(set(made.logs)),
        n_reference_clips=len(set(table.reference_rows.samples)),
        n_reference_logs=len(set(reference.logs)),
        ci95=None if found is None else interval_record(found.estimate.ci95),
        no_interval=NO_VALUE if found is None else found.no_interval,
        at_infinity=extrapolated,
        n_rows=len(made.logs),
    )
    return Scored(metric, found)


def problem_of(name: str, rows: LogRows) -> str | None:
    """Why these features have no distance that says anything, or None."""
    n, bad = len(rows.logs), np.flatnonzero(~np.isfinite(rows.values).all(axis=1))
    if len(bad):
        return f"features of {len(bad)} of {n} {name} rows are not finite, first in log {rows.logs[bad[0]]}"
    if not np.ptp(rows.values, axis=0).any():
        return f"the features of all {n} {name} rows are one and the same"
    return None


def interval_record(found: tuple[float, float] | None) -> Interval | None:
    """An interval as a record."""
    return None if found is None else Interval(low=found[0], high=found[1])
