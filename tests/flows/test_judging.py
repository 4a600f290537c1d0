"""When the champion's measurement may be held against the candidate's, and that asking never breaks off a run."""

from pathlib import Path

import pytest

from evaluation.report import Report
from flows.judging import Evaluated, comparable, compared
from tests.evaluation.conftest import build_report

VALUES = {"image/psnr": [20.0, 21.0, 22.0, 23.0]}


def of(report: Report) -> Evaluated:
    return Evaluated(Path("nowhere"), report)


def test_the_same_data_under_the_same_protocol_are_compared_clip_by_clip() -> None:
    candidate, champion = build_report(synthetic=VALUES), build_report(sha256="c" * 64, synthetic=VALUES)
    assert comparable(candidate, of(champion), "c" * 64)
    found = compared(of(candidate), of(champion))
    assert found is not None and [difference.verdict for difference in found.differences] == ["cannot tell"]


@pytest.mark.parametrize("other", [{"data": "e" * 64}, {"stride": 3}])
def test_what_was_measured_otherwise_is_not_compared_and_the_gate_is_left_to_say_so(other: dict[str, object]) -> None:
    candidate, champion = build_report(synthetic=VALUES), build_report(sha256="c" * 64, synthetic=VALUES, **other)
    assert not comparable(candidate, of(champion), "c" * 64)
    assert compared(of(candidate), of(champion)) is None


def test_no_measurement_or_one_of_another_model_is_not_the_champions() -> None:
    report = build_report(synthetic=VALUES)
    assert not comparable(report, None, report.model.sha256)
    assert not comparable(report, of(report), "another")
