"""Comparisons as text."""

import pytest
from rich.console import Console

from evaluation.base import Interval
from evaluation.comparison import Comparison, Difference, verdict_of
from evaluation.comparison_table import comparison_table

LONG = "video/fvd-tok@i3d-k400"


def difference(a, b, low, high, *, metric="image/psnr", unit="dB", direction="up", **more):
    ci95 = Interval(low=low, high=high)
    where = {"source": "synthetic", "split": "test", "metric": metric, "unit": unit, "direction": direction}
    counts = {"n_clips": 9, "n_logs": 9, "challenger": a, "champion": b, "difference": a - b}
    return Difference(**where, **counts, ci95=ci95, verdict=verdict_of(ci95, direction), **more)


@pytest.fixture
def lines():
    differences = (
        difference(21.0, 20.0, 0.5, 1.5),
        difference(0.61, 0.62, -0.03, 0.01, metric="image/ssim", unit="1", region="dynamic"),
        difference(1234.5, 1034.5, 150.0, 250.0, metric=LONG, unit="1", direction="down", method="dmd"),
        difference(15.0, 19.0, -6.0, -2.0, slice="light=night", corrected_for=2),
        difference(21.5, 20.1, -0.6, 3.0, slice="light=day", corrected_for=2),
        difference(21.5, 20.1, -0.6, 3.0, metric="video/psnr", method="teacher_forcing"),
    )
    comparison = Comparison(
        challenger_report_sha256="a" * 64,
        champion_report_sha256="b" * 64,
        differences=differences,
        left_out={f"synthetic/test/dmd/video/{name}": "the tokenizers differ" for name in ("a", "b", "c", "d", "e")},
    )
    console = Console(width=80, record=True)
    console.print(comparison_table(comparison, "worldmodel-tiny/2", "worldmodel-tiny@champion"))
    return console.export_text().splitlines()


def test_each_metric_has_both_values_the_difference_its_interval_and_a_verdict(lines):
    (psnr,) = (line.split() for line in lines if "+0.50 +1.50" in line)
    assert psnr == ["image/psnr,", "dB", "21.0", "20.0", "+1.00", "+0.50", "+1.50", "better"]
    assert any("dynamic" in line and "-0.010 -0.030 +0.010 cannot tell" in " ".join(line.split()) for line in lines)
    assert any("+200 +150 +250 worse" in " ".join(line.split()) for line in lines)


def test_of_slices_and_other_methods_those_that_differ_are_shown_and_the_others_counted(lines):
    text = "\n".join(lines)
    assert "light=night" in text and "light=day" not in text and "teacher_forcing" not in text
    assert "2 further differences cannot be told: --json has them" in text


def test_what_was_not_compared_is_said_and_all_of_it_fits_80_columns(lines):
    text = " ".join(line.strip() for line in lines)
    names = ", ".join(f"synthetic/test/dmd/video/{name}" for name in "abc")
    assert f"not compared: the tokenizers differ: {names} and 2 more" in text
    assert max(map(len, lines)) <= 80
