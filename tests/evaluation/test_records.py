import json

import pytest

from evaluation.compare import compare
from evaluation.gate import decide
from evaluation.records import read_comparison, read_decision, read_gate_inputs, read_report, write_record
from tests.evaluation.gating import CHAMPION, GOOD, inputs, limits
from tests.evaluation.gating import report as measured
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


def test_what_a_decision_follows_from_is_read_back_equal_and_decides_the_same_again(tmp_path):
    ours, theirs = measured(synthetic=GOOD), measured(sha256=CHAMPION, synthetic=GOOD)
    given = inputs(ours, theirs)
    decision = decide(given)
    write_record(tmp_path / "gate-inputs.json", given)
    write_record(tmp_path / "decision.json", decision)
    assert read_gate_inputs(tmp_path / "gate-inputs.json") == given
    assert (
        read_decision(tmp_path / "decision.json") == decision == decide(read_gate_inputs(tmp_path / "gate-inputs.json"))
    )
    write_record(tmp_path / "comparison.json", compare(ours, theirs))
    assert read_comparison(tmp_path / "comparison.json") == given.comparison


def test_a_missing_file_names_the_way_out(tmp_path):
    with pytest.raises(DataError, match=r"no such report.*\n.*worldmodel run"):
        read_report(tmp_path / "report.json")


def test_gate_inputs_are_called_so_in_errors(tmp_path):
    with pytest.raises(DataError, match="no such gate inputs file"):
        read_gate_inputs(tmp_path / "gate-inputs.json")


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_file_that_is_not_json_is_named(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="not a readable report"):
        read_report(path)


@pytest.mark.parametrize("content", [{"schema_version": "worldmodel.report/2"}, {}, [], 3])
def test_another_schema_says_which_was_expected_and_found(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"worldmodel\.report/3") as error:
        read_report(path)
    assert "evaluate the model again" in error.value.fix


def test_a_decision_under_the_limits_of_before_is_refused(tmp_path):
    path = tmp_path / "decision.json"
    path.write_text('{"schema_version": "worldmodel.decision/2"}')
    with pytest.raises(DataError, match=r"worldmodel\.decision/3"):
        read_decision(path)


def test_a_changed_number_names_the_field(tmp_path, report):
    path = tmp_path / "report.json"
    write_record(path, report)
    path.write_text(path.read_text().replace('"value": 22.0', '"value": 32.0'))
    with pytest.raises(DataError, match=r"groups\.0\.metrics\.0.*not the mean"):
        read_report(path)


def test_a_promotion_with_a_rule_that_did_not_pass_is_not_a_decision(tmp_path):
    asked = limits(absolute=[{"metric": "image/psnr", "min": 99}])
    path = tmp_path / "decision.json"
    write_record(path, decide(inputs(measured(synthetic=GOOD), asked=asked)))
    path.write_text(path.read_text().replace('"verdict": "refuse"', '"verdict": "promote"'))
    with pytest.raises(DataError, match="not every rule passes"):
        read_decision(path)
