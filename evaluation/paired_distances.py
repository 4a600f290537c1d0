"""The paired difference of two models' distances to the same reference rows, from the features that both kept."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.base import Interval
from evaluation.generation.features import FeatureTable, features_path, read_features
from evaluation.generation.recipes import distance_of, table_of
from evaluation.metrics.distance_intervals import replicates
from worldmodel.errors import DataError

_SAME = 1e-6  # linear algebra differs by less between machines


@dataclass(frozen=True)
class Tables:
    """The feature tables of both models for one source and split, or why they are not there."""

    both: tuple[Mapping[str, FeatureTable], Mapping[str, FeatureTable]] | None
    why_not: str = ""

    @classmethod
    def read(cls, directories: tuple[Path | None, Path | None], source: str, split: str) -> "Tables":
        """Those in the directories of challenger and champion."""
        ours, theirs = directories
        if ours is None or theirs is None:
            return cls(None, "the features were not given")
        try:
            pair = [read_features(features_path(place, source, split)) for place in (ours, theirs)]
        except DataError:
            return cls(None, f"the features of {source}/{split} cannot be read")
        return cls((pair[0], pair[1]))

    def of(self, name: str) -> tuple[FeatureTable, FeatureTable] | str:
        """A table of both models, or why there is none."""
        if self.both is None:
            return self.why_not
        ours, theirs = (tables.get(name) for tables in self.both)
        return f"no features of {name} were kept" if ours is None or theirs is None else (ours, theirs)


def distance_difference(
    metric_id: str, method: str, values: tuple[float, float], tables: Tables
) -> tuple[Interval | None, str | None] | str:
    """The interval of the difference of two distances, or the reason for having none; or why there is no difference.

    A delete-one-log jackknife of both at once, over generated and reference logs (two-sample; Efron and Stein 1981).

    Args:
        metric_id: of the distance.
        method: whose videos.
        values: of challenger and champion, as their reports have them.
        tables: the features.
    """
    found = tables.of(table_of(metric_id))
    if isinstance(found, str):
        return found
    ours, theirs = found
    if not np.array_equal(ours.reference, theirs.reference) or ours.reference_rows != theirs.reference_rows:
        return "the two have other reference features, as with another tokenizer"
    if method not in ours.made or method not in theirs.made or ours.made_rows != theirs.made_rows:
        return "the features are not of the same clips"
    try:
        pair = [replicates(distance_of(metric_id), table.true, table.of(method)) for table in found]
        estimate = (pair[0] - pair[1]).estimate
    except DataError as error:
        return error.what
    near = (math.isclose(a.value, b, rel_tol=_SAME, abs_tol=_SAME) for a, b in zip(pair, values, strict=True))
    if not all(near):
        return "the features are not those of the reports"
    ci95 = None if estimate.ci95 is None else Interval(low=estimate.ci95[0], high=estimate.ci95[1])
    return ci95, estimate.no_interval
