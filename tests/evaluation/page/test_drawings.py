import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.base import Interval
from evaluation.page.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Labels, Point, Series, chart
from evaluation.page.whiskers import Axis

LABELS = Labels("title", "x")
FINITE = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)


def test_a_whisker_places_value_interval_and_marks_on_one_axis():
    whisker = Axis(0.0, 10.0).whisker(5.0, Interval(low=0, high=10), {"limit": 2.5})
    assert (whisker.value, whisker.ends, whisker.marks) == (66.0, (6.0, 126.0), (("limit", 36.0),))
    assert whisker.zero is None and Axis(-1.0, 1.0).whisker(0.5, None).zero == 66.0
    assert Axis(0.0, 1.0).whisker(None, None) is None


def test_an_axis_of_equal_values_puts_them_in_the_middle_and_holds_what_is_outside():
    assert Axis.over([3.0, 3.0]).place(3.0) == 66.0
    assert Axis(0.0, 1.0).place(9.0) == 126.0 and Axis(0.0, 1.0).place(-9.0) == 6.0


def test_a_chart_has_round_ticks_and_its_highest_value_on_top():
    drawn = chart(LABELS, [Series("a", "model", (Point(0, 10.0), Point(4, 20.0)))])
    assert [tick.text for tick in drawn.x_ticks] == ["0", "1", "2", "3", "4"]
    assert [tick.text for tick in drawn.y_ticks] == ["10", "15", "20"]
    first, last = drawn.series[0].dots
    assert first.x < last.x and first.y > last.y
    assert drawn.series[0].path == f"M{first.x} {first.y}L{last.x} {last.y}"


def test_points_in_order_alone_have_no_numbers_below_them_and_one_point_no_line():
    drawn = chart(Labels("title", "clips", numbered=False), [Series("a", "model", (Point(0, 1.0),))])
    assert drawn.x_ticks == () and drawn.series[0].path == ""
    assert chart(LABELS, [Series("a", "model", ())]) is None


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20))
def test_whatever_the_values_all_is_inside_the_drawing(values):
    drawn = chart(LABELS, [Series("a", "model", tuple(Point(x, y, low=y - 1, high=y + 1) for x, y in values))])
    for dot in drawn.series[0].dots:
        assert LEFT <= dot.x <= WIDTH - RIGHT
        assert TOP <= dot.high <= dot.y <= dot.low <= HEIGHT - BOTTOM
    assert all(TOP <= tick.at <= HEIGHT - BOTTOM for tick in drawn.y_ticks)
    assert 1 <= len(drawn.y_ticks) <= 12


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-4, 1234.5])
def test_a_constant_has_a_chart(value):
    assert chart(LABELS, [Series("a", "model", (Point(0, value), Point(1, value)))]).y_ticks
