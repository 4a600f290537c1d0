import numpy as np
import pytest

from evaluation.generation.distances import score_distance
from evaluation.generation.features import FeatureTable, Rows
from evaluation.generation.recipes import recipes
from evaluation.metrics import distance_at_infinity
from evaluation.metrics.distances import frechet
from tests.evaluation.toy_perceptual import toy_identity

_, _, FVD, KVD = recipes(toy_identity("i3d-k400"), None)
LOGS = tuple("abcde")


def table(made=None, reference=None):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 5, 3)).astype(np.float32)
    made, reference = rows[0] if made is None else made, rows[1] if reference is None else reference
    return FeatureTable({"dmd": made}, Rows(LOGS, LOGS), reference, Rows(LOGS, tuple("vwxyz")))


def test_a_distance_is_of_its_table_with_counts_and_an_interval():
    found = score_distance(FVD, table(), "dmd", 0)
    metric = found.metric
    assert metric.value == frechet(table().true.values, table().of("dmd").values) == found.replicates.value
    assert (metric.n_clips, metric.n_logs, metric.n_reference_clips, metric.n_rows) == (5, 5, 5, 5)
    assert metric.ci95.low < metric.value < metric.ci95.high and metric.at_infinity is None


def test_rows_of_one_clip_count_as_rows_and_not_as_clips():
    twice = Rows(tuple("aabbc"), tuple("aabbc"))
    features = table()
    metric = score_distance(KVD, FeatureTable(features.made, twice, features.reference, twice), "dmd", 0).metric
    assert (metric.n_clips, metric.n_logs, metric.n_rows) == (3, 3, 5)
    assert metric.ci95 is None and metric.no_interval == "3 generated logs: an interval over logs needs 4"


def test_only_a_frechet_distance_of_many_logs_has_a_value_at_infinity(monkeypatch):
    monkeypatch.setattr(distance_at_infinity, "FEWEST_LOGS", 5)
    assert score_distance(FVD, table(), "dmd", 0).metric.at_infinity is not None
    assert score_distance(FVD, table(), "dmd", None).metric.at_infinity is None
    assert score_distance(KVD, table(), "dmd", 0).metric.at_infinity is None


@pytest.mark.parametrize("recipe", [FVD, KVD])
@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"made": np.ones((5, 3), np.float32)}, "the features of all 5 generated rows are one and the same"),
        ({"reference": np.ones((5, 3), np.float32)}, "the features of all 5 reference rows are one and the same"),
        (
            {"made": np.float32([[0, 1, 2], [0, np.nan, 1], [1, 2, np.inf], [0, 0, 0], [1, 1, 1]])},
            "features of 2 of 5 generated rows are not finite, first in log b",
        ),
    ],
)
def test_features_that_say_nothing_leave_no_value_and_the_problem(recipe, broken, problem):
    found = score_distance(recipe, table(**broken), "dmd", 0)
    assert (found.metric.value, found.metric.ci95, found.replicates) == (None, None, None)
    assert found.metric.problem == problem
