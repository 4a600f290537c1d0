import io

import pytest
from rich.console import Console

from evaluation.gate import decide
from evaluation.tables import decision_table, report_table
from tests.evaluation.gating import CANDIDATE, GOOD, inputs, limits
from tests.evaluation.gating import report as measured


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


def test_the_decision_shows_every_rule_with_its_verdict_in_80_columns_what_stopped_it_first():
    ours = measured(same_log=("dgp_street",), synthetic=GOOD, dgp_street=GOOD)
    decision = decide(
        inputs(ours, asked=limits(absolute=[{"source": "synthetic", "metric": "image/psnr", "min": 25.0}]))
    )
    shown = text(decision_table(decision))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.startswith("refused: 3 of 19 rules do not pass")
    assert all(rule.id in shown for rule in decision.rules)
    assert "not applicable" in shown and "must be at least" in " ".join(shown.split())
    assert shown.rindex("absolute/synthetic/image/psnr/min") < shown.index("evidence/code")


def test_already_champion_is_one_line():
    decision = decide(inputs(measured(synthetic=GOOD), champion_sha256=CANDIDATE))
    assert text(decision_table(decision)).strip() == decision.summary


def test_brackets_in_names_are_not_markup():
    asked = limits(absolute=[{"metric": "image/psnr", "region": "dynamic", "min": 1.0}])
    decision = decide(inputs(measured(synthetic=GOOD), asked=asked))
    assert "image/psnr[dynamic]" in text(decision_table(decision))
