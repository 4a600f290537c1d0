import json

import pytest

from evaluation.config import GateLimits
from evaluation.decision import GateContext
from evaluation.gate import decide
from evaluation.records import read_decision, read_report, write_record
from worldmodel.errors import DataError


@pytest.fixture
def report(make_report):
    return make_report(synthetic={"image/psnr": [20.0, 22.0]})


def test_a_written_report_is_read_back_equal_and_written_the_same_again(tmp_path, report):
    first, second = tmp_path / "report.json", tmp_path / "again.json"
    write_record(first, report)
    assert read_report(first) == report
    write_record(second, read_report(first))
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "report.json"]


def test_a_written_decision_is_read_back_equal(tmp_path, report):
    limits = {
        "absolute": [{"metric": "image/psnr", "min": 10}],
        "over_baseline": [{"metric": "image/psnr", "margin": 1}],
        "against_champion": [{"metric": "image/psnr", "max_drop": 0}],
    }
    decision = decide(report, None, GateLimits.model_validate(limits), GateContext(candidate_sha256="a" * 64))
    write_record(tmp_path / "decision.json", decision)
    assert read_decision(tmp_path / "decision.json") == decision


def test_a_missing_file_names_the_way_out(tmp_path):
    with pytest.raises(DataError, match=r"no such report.*\n.*worldmodel run"):
        read_report(tmp_path / "report.json")


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_file_that_is_not_json_is_named(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="not a readable report"):
        read_report(path)


@pytest.mark.parametrize("content", [{"schema_version": "worldmodel.report/1"}, {}, [], 3])
def test_another_schema_says_which_was_expected_and_found(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"worldmodel\.report/2") as error:
        read_report(path)
    assert "evaluate the model again" in error.value.fix


def test_a_decision_under_the_limits_of_before_is_refused(tmp_path):
    path = tmp_path / "decision.json"
    path.write_text('{"schema_version": "worldmodel.decision/1"}')
    with pytest.raises(DataError, match=r"worldmodel\.decision/2"):
        read_decision(path)


def test_a_changed_number_names_the_field(tmp_path, report):
    path = tmp_path / "report.json"
    write_record(path, report)
    path.write_text(path.read_text().replace('"value": 22.0', '"value": 32.0'))
    with pytest.raises(DataError, match=r"groups\.0\.metrics\.0.*not the mean"):
        read_report(path)


def test_a_promotion_with_a_rule_that_did_not_pass_is_not_a_decision(tmp_path, report):
    self_made = {"metric": "image/psnr", "min": 99}
    limits = {
        "absolute": [self_made],
        "over_baseline": [{"metric": "image/psnr", "margin": 1}],
        "against_champion": [{"metric": "image/psnr", "max_drop": 0}],
    }
    decision = decide(report, None, GateLimits.model_validate(limits), GateContext(candidate_sha256="a" * 64))
    path = tmp_path / "decision.json"
    write_record(path, decision)
    path.write_text(path.read_text().replace('"verdict": "refuse"', '"verdict": "promote"'))
    with pytest.raises(DataError, match="not every rule passes"):
        read_decision(path)
