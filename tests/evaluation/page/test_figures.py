import pytest

from evaluation.base import Interval
from evaluation.page.figures import Figures, verdict_of


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.7087, 0.5], "0.709"),
        ([23.398, 18.0], "23.40"),
        ([579.31, 300.0], "579.3"),
        ([2766.3, 100.0], "2766"),
        ([0.99724, 0.99834], "0.9972"),
        ([5.0], "5.00"),
    ],
)
def test_three_figures_stand_and_values_close_together_are_told_apart(values, written):
    assert Figures.of(values).number(values[0]) == written


def test_none_is_a_dash_and_minus_is_a_minus():
    figures = Figures.of([1.0, None, -2.0])
    assert (figures.number(None), figures.number(-2.0), figures.difference(1.0)) == ("–", "−2.00", "+1.00")
    assert figures.interval(Interval(low=-1, high=1), signed=True) == "−1.00 to +1.00"
    assert figures.interval(None) == ""


@pytest.mark.parametrize(
    ("low", "high", "direction", "verdict"),
    [(1, 2, "up", "better"), (1, 2, "down", "worse"), (-2, -1, "down", "better"), (-1, 2, "up", "cannot tell")],
)
def test_a_difference_says_something_only_where_its_interval_leaves_out_zero(low, high, direction, verdict):
    assert verdict_of((low + high) / 2, Interval(low=low, high=high), direction) == verdict
    assert verdict_of((low + high) / 2, None, direction) == "cannot tell"
