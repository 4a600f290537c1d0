import numpy as np
import pytest

from evaluation.metrics.depth import DepthErrors, depth_errors
from worldmodel.errors import DataError

NOTHING = DepthErrors(None, None, None)


def test_identical_depth_has_no_error_and_full_coverage():
    truth = np.array([[1.0, 50.0], [0.0, 3.0]], np.float32)
    assert depth_errors(truth, truth) == DepthErrors(0.0, 0.0, 1.0)


def test_errors_are_those_computed_by_hand():
    truth = np.array([[10.0, 20.0, 5.0, 0.0]])
    predicted = np.array([[13.0, 16.0, 0.0, 7.0]])
    errors = depth_errors(predicted, truth)
    assert errors.rmse_m == pytest.approx(np.sqrt((9 + 16) / 2))
    assert errors.abs_rel == pytest.approx((0.3 + 0.2) / 2)
    assert errors.coverage == pytest.approx(2 / 3)


def test_depth_where_the_truth_has_none_is_not_an_error():
    assert depth_errors(np.full((2, 2), 9.0), np.array([[9.0, 0], [0, 0]])) == DepthErrors(0.0, 0.0, 1.0)


def test_predicting_nothing_is_zero_coverage_rather_than_a_good_score():
    assert depth_errors(np.zeros((2, 2)), np.ones((2, 2))) == DepthErrors(None, None, 0.0)


def test_a_fully_masked_image_and_one_without_truth_give_none_and_no_nan():
    assert depth_errors(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2), bool)) == NOTHING
    assert depth_errors(np.ones((2, 2)), np.zeros((2, 2))) == NOTHING


def test_a_mask_counts_only_its_own_pixels():
    errors = depth_errors(np.array([[2.0, 9.0]]), np.array([[1.0, 1.0]]), np.array([[True, False]]))
    assert errors == DepthErrors(1.0, 1.0, 1.0)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_a_fault_in_the_prediction_is_not_a_missing_pixel(fault):
    errors = depth_errors(np.array([[fault, 5.0]]), np.array([[5.0, 5.0]]))
    assert np.isnan([errors.rmse_m, errors.abs_rel, errors.coverage]).all()


def test_a_shape_mismatch_raises():
    with pytest.raises(DataError, match=r"expected: \[2, 3\]"):
        depth_errors(np.ones((2, 2)), np.ones((2, 3)))
