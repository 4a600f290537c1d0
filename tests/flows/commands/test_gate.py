"""What the gate said, for people, and what other limits would have said, over runs as the driver leaves them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.gate import decide
from evaluation.gate_config import GateLimits
from evaluation.records import write_record
from flows.commands import gate
from flows.git import git
from flows.runs import RunRecord, Runs
from tests.evaluation.gating import GOOD, LIMITS, inputs, limits, report
from worldmodel.errors import DataError, ParamsError, WorkspaceError


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The runs of a checkout whose profile tiny has the limits of the tests."""
    git(tmp_path, "init", "-q")
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"gate": LIMITS}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path / "state"))
    return Runs(tmp_path / "state")


def add(runs: Runs, asked: GateLimits, *, psnr: float = 21.0, profile: str = "tiny") -> RunRecord:
    """A run with its inputs and decision."""
    record = runs.create("k" * 16, profile=profile, snapshot="s" * 40, dirty=False, sources=[])
    given = inputs(report(synthetic=GOOD | {"image/psnr": [psnr] * 4}), asked=asked)
    write_record(runs.folder(record.run_id) / "gate-inputs.json", given)
    write_record(runs.folder(record.run_id) / "decision.json", decide(given))
    return record


def changed(path: Path, **changes: Any) -> Path:
    """A params file with other limits."""
    path.write_text(yaml.safe_dump({"gate": LIMITS | changes}))
    return path


def test_a_decision_is_explained_rule_by_rule_in_80_columns(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    record = add(runs, limits(absolute=[{"metric": "image/psnr", "min": 25.0}]))
    assert gate.explain("latest", as_json=False) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    facts = [line.split() for line in shown.splitlines()[:7]]
    assert facts[0] == ["run", f"{record.run_id},", "profile", "tiny"]
    assert facts[1] == ["candidate", "a" * 16] and facts[2] == ["champion", "none"]
    assert facts[3][:2] == ["protocol", "tiny,"] and facts[5] == ["champion", "report", "none"]
    assert "refused: 1 of 15 rules do not pass" in shown
    assert "image/psnr on synthetic is 21.00 dB, and must be at least 25.00 dB" in " ".join(shown.split())


def test_a_decision_is_given_whole_as_json(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    add(runs, limits())
    assert gate.explain("latest", as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["verdict"], len(shown["rules"])) == ("promote", 16)


def test_a_run_without_a_decision_and_one_of_before_are_errors(runs: Runs) -> None:
    record = runs.create("k" * 16, profile="tiny", snapshot="s" * 40, dirty=False, sources=[])
    with pytest.raises(WorkspaceError, match="no decision of the gate"):
        gate.explain("latest", as_json=False)
    (runs.folder(record.run_id) / "decision.json").write_text('{"schema_version": "worldmodel.decision/2"}')
    with pytest.raises(DataError, match="of another schema"):
        gate.explain("latest", as_json=False)


def test_replay_says_which_verdicts_other_limits_change_and_by_which_rules(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = add(runs, limits(), psnr=20.0), add(runs, limits(), psnr=24.0)
    stricter = changed(tmp_path / "stricter.yaml", absolute=[{"metric": "image/psnr", "min": 23.0}])
    assert gate.replay(stricter, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["run"], one["decided"], one["now"], one["changed"]) for one in found] == [
        (second.run_id, "promote", "promote", False),
        (first.run_id, "promote", "refuse", True),
    ]
    assert found[1]["stopped_now"] == ["absolute/synthetic/image/psnr/min"]
    assert gate.replay(stricter, as_json=False) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("1 of 2 verdicts change") and max(map(len, shown.splitlines())) <= 80
    assert "-absolute/synthetic/image/psnr/min" in "".join(shown.split())


def test_replay_takes_each_runs_own_profile_as_it_is_now(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    add(runs, limits(absolute=[{"metric": "image/psnr", "min": 25.0}]))
    assert gate.replay(None, as_json=True) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["decided"], one["now"], one["stopped_before"], one["stopped_now"]) == (
        "refuse",
        "promote",
        ["absolute/synthetic/image/psnr/min"],
        [],
    )


def test_replay_asks_limits_of_another_protocol_and_inputs_of_before_nothing(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(runs, limits())
    old = add(runs, limits())
    (runs.folder(old.run_id) / "gate-inputs.json").write_text('{"schema_version": "worldmodel.gate-inputs/0"}')
    assert gate.replay(changed(tmp_path / "other.yaml", protocol="own16"), as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["skipped"] == "a gate inputs file of another schema" and found[0]["decided"] is None
    assert found[1]["skipped"] == "judged under the protocol tiny, and the limits are for own16"
    assert not any(one["changed"] for one in found)


def test_wrong_limits_and_no_runs_are_errors(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no run with gate-inputs\.json"):
        gate.replay(None, as_json=False)
    add(runs, limits())
    with pytest.raises(ParamsError, match=r"other\.yaml: gate"):
        gate.replay(changed(tmp_path / "other.yaml", absolute=[]), as_json=False)
