from evaluation.base import Interval
from evaluation.comparison import Comparison, Difference
from evaluation.page.verdict import comparison_tables, shown_decision
from tests.evaluation.page.test_page import decision


def difference(metric="image/psnr", by=0.5, half=0.2, **fields):
    low, high = by - half, by + half
    found = "cannot tell" if low <= 0 <= high else "better" if low > 0 else "worse"
    place = {"source": "synthetic", "split": "test", "metric": metric, "unit": "dB", "direction": "up"}
    counts = {"n_clips": 4, "n_logs": 4, "challenger": 20.0 + by, "champion": 20.0, "difference": by}
    return Difference.model_validate(place | counts | {"ci95": Interval(low=low, high=high), "verdict": found} | fields)


def compared(*differences, **left_out):
    return Comparison(
        challenger_report_sha256="a", champion_report_sha256="b", differences=differences, left_out=left_out
    )


def test_a_refusal_shows_what_was_against_it_beside_its_limit():
    shown = shown_decision(decision())
    assert (shown.badge, shown.style) == ("refused", "bad")
    (against,), (passed,) = shown.against, shown.passed
    assert (against.verdict, against.id, passed.id) == ("fail", "absolute/psnr", "code/clean")
    ((style, limit),) = against.whisker.marks
    assert style == "limit" and limit > against.whisker.value
    assert passed.whisker is None


def test_a_rule_that_could_not_be_judged_counts_against_the_model():
    rules = [{"id": "a", "verdict": verdict, "sentence": "so"} for verdict in ("missing", "not_applicable", "pass")]
    shown = shown_decision(decision(rules=rules))
    assert [(rule.verdict, rule.style) for rule in shown.against] == [("missing", "bad"), ("not applicable", "unsure")]


def test_differences_over_all_clips_come_before_those_of_slices():
    night = difference(by=-2.0, slice="light=night", corrected_for=7)
    whole, slices, left_out = comparison_tables(compared(night, difference(), difference("image/ssim", 0.1), fvd="why"))
    assert [[cell.text for cell in row.cells] for row in whole.rows] == [
        ["better", "20.50", "20.00"],
        ["cannot tell", "20.10", "20.00"],
    ]
    assert slices.rows[0].name == "light: night, image/psnr, dB" and slices.rows[0].cells[0].style == "bad"
    assert slices.notes == ("Intervals hold for all 7 slices at once.",)
    assert left_out.notes == ("Not compared: fvd: why.",)


def test_a_drawing_of_a_difference_has_zero_in_its_middle():
    (table,) = comparison_tables(compared(difference()))
    whisker = table.rows[0].whisker
    assert whisker.zero == 66.0 < whisker.ends[0] < whisker.value < whisker.ends[1] == 126.0
