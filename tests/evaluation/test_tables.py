import io

import pytest
from rich.console import Console

from evaluation.config import GateLimits
from evaluation.decision import GateContext
from evaluation.gate import decide
from evaluation.tables import decision_table, report_table

LIMITS = GateLimits.model_validate(
    {
        "absolute": [{"source": "synthetic", "metric": "image/psnr", "min": 25.0}],
        "over_baseline": [{"metric": "image/psnr", "margin": 1.0}],
        "against_champion": [{"metric": "image/psnr", "max_drop": 0.5}],
    }
)


def text(renderable):
    console = Console(file=io.StringIO(), width=80)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture
def report(make_report):
    return make_report(
        same_log=("dgp_street",), synthetic={"image/psnr": [20.0, 22.0], "depth/rmse": [None]}, dgp_street={}
    )


def test_the_report_shows_values_intervals_and_baselines_in_80_columns(report):
    lines = text(report_table(report)).splitlines()
    assert max(map(len, lines)) <= 80
    lines = [line.strip() for line in lines]
    row = next(line for line in lines if line.startswith("image/psnr, dB"))
    assert row.split() == ["image/psnr,", "dB", "21.00", "20.00", "to", "22.00", "19.00", "-", "-"]
    assert any(line.split()[:3] == ["depth/rmse,", "m", "NaN"] for line in lines)
    assert {"synthetic, test split: 2 clips, 2 logs", "dgp_street, same log: 1 clip, 1 log"} <= set(lines)


def test_the_decision_shows_every_rule_with_its_verdict_in_80_columns(report):
    decision = decide(report, None, LIMITS, GateContext(candidate_sha256="a" * 64))
    shown = text(decision_table(decision))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.startswith("refused: 3 of 10 rules do not pass")
    for rule in decision.rules:
        assert rule.id in shown
    assert "not applicable" in shown and "must be at least" in shown.replace("\n", " ")


def test_already_champion_is_one_line(report):
    decision = decide(report, None, LIMITS, GateContext(candidate_sha256="a" * 64, champion_sha256="a" * 64))
    assert text(decision_table(decision)).strip() == decision.summary


def test_brackets_in_names_are_not_markup(make_report):
    limits = LIMITS.model_copy(update={"absolute": (LIMITS.absolute[0].model_copy(update={"region": "dynamic"}),)})
    decision = decide(make_report(), None, limits, GateContext(candidate_sha256="a" * 64))
    assert "image/psnr[dynamic]" in text(decision_table(decision))
