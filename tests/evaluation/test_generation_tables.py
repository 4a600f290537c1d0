import io

import pytest
from rich.console import Console

from evaluation.tables import report_table
from tests.evaluation.videos import KVD_TOK, PSNR, video_group

VALUES = {"repeat_last_frame": 1046.2, "teacher_forcing_4step": 60.0, "dmd": 9.123}
FVD_TOK = "video/fvd-tok@i3d-k400"


@pytest.fixture
def lines(make_report):
    def shown(**kwargs):
        report = make_report().model_copy(update={"generation": (video_group(values=VALUES, **kwargs),)})
        console = Console(file=io.StringIO(), width=80)
        console.print(report_table(report))
        return [line.rstrip() for line in console.file.getvalue().splitlines()]

    return shown


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
