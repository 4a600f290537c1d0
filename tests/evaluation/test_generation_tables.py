import io

import pytest
from rich.console import Console

from evaluation.generation.words import short
from evaluation.generation_report import Window
from evaluation.tables import report_table
from tests.evaluation.videos import KVD_TOK, PSNR, video_group

VALUES = {"repeat_last_frame": 1046.2, "teacher_forcing_4step": 60.0, "dmd": 9.123}
FVD_TOK = "video/fvd-tok@i3d-k400"


KID, REVISIT = "image/kid@inception-2015-12-05", "video/revisit-psnr"


@pytest.fixture
def printed(make_report):
    def lines(group):
        console = Console(file=io.StringIO(), width=80)
        console.print(report_table(make_report().model_copy(update={"generation": (group,)})))
        return [line.rstrip() for line in console.file.getvalue().splitlines()]

    return lines


@pytest.fixture
def lines(printed):
    return lambda **kwargs: printed(video_group(values=VALUES, **kwargs))


def changed(**update):
    """A group whose dmd is changed so."""
    group = video_group(values=VALUES, metrics=(KVD_TOK,))
    *others, dmd = group.methods
    return group.model_copy(update={"methods": (*others, dmd.model_copy(update=update))})


def test_methods_stand_in_order_with_their_intervals_in_80_columns(lines):
    found = lines(metrics=(FVD_TOK, KVD_TOK, PSNR))
    assert max(map(len, found)) <= 80
    rows = [line.split() for line in found if line.strip().startswith(tuple(VALUES))]
    assert rows[0] == ["repeat_last_frame", *["1046", "1045", "1047"] * 3]
    assert rows[2] == ["dmd", *["9.12", "8.12", "10.1"] * 3]


def test_a_row_a_comparison_and_a_mark_where_the_interval_covers_zero(lines):
    found = lines(metrics=(KVD_TOK,), half=100.0)
    rows = [line.split() for line in found if line.strip().startswith("dmd")][1:]
    assert rows == [
        ["dmd", "-", "-", "-1037", "-1137", "-937", "-", "-"],
        ["dmd", "-", "-", "-50.9?", "-151", "+49.1", "-", "-"],
    ]


def test_why_there_is_no_distance_is_said(lines):
    assert "no distance: 1 log: no FVD claim" in [
        s.strip() for s in lines(metrics=(PSNR,), no_distances="1 log: no FVD claim")
    ]


def test_further_metrics_have_tables_of_their_own_with_the_columns_that_were_measured(lines):
    found = lines(metrics=(KVD_TOK, KID, REVISIT))
    assert max(map(len, found)) <= 80
    heads = [line.split() for line in found if line.startswith("method ")]
    assert [head[1:] for head in heads[1:]] == [["kid"], ["revisit"]]
    rows = [line.split() for line in found if line.startswith("dmd ")]
    assert rows[1] == rows[2] == ["dmd", "9.12"]


def test_a_distance_at_infinity_stands_beside_that_at_this_n(printed):
    (metric,) = video_group(values=VALUES, metrics=(FVD_TOK,)).methods[2].metrics
    found = printed(changed(metrics=(metric.model_copy(update={"at_infinity": 3.0, "n_rows": 150}),)))
    assert ["dmd", "video/fvd-tok", "150", "9.12", "3.00"] in [line.split() for line in found]


def test_drift_is_a_column_a_window(printed):
    (metric,) = video_group(values=VALUES, metrics=(KVD_TOK,)).methods[2].metrics
    later = metric.model_copy(update={"value": 20.0})
    windows = (Window(first=1, last=16, metrics=(metric,)), Window(first=17, last=32, metrics=(later,)))
    found = [line.split() for line in printed(changed(windows=windows))]
    assert ["method", "1-16", "17-32"] in found and ["dmd", "9.12", "20.0"] in found


@pytest.mark.parametrize(
    ("value", "text"),
    [(1046.2, "1046"), (21.94, "21.9"), (0.365, "0.36"), (0.0046, "0.005"), (-0.0004, "0.000"), (0.0, "0.00")],
)
def test_numbers_have_about_three_digits(value, text):
    assert short(value) == text
