"""The command `audit verify`: what it prints, what it exits with, and whose key it begins with."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from flows.audit.finding import Finding
from flows.audit.verify.evidence import Checked, Note, Verdict
from flows.commands.verify import EXIT_FINDINGS, EXIT_HOLDS, print_verdict, root_keys, verify_all
from flows.signing.keys import make_key
from tests.flows.history import History, environment, make_history
from worldmodel.errors import RecordError, SigningError


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("history"))


@pytest.fixture
def here(history: History, monkeypatch: pytest.MonkeyPatch) -> History:
    """In the checkout, as the user whose key signed it; without an MLflow store."""
    monkeypatch.chdir(history.root)
    for name, value in environment(history).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{history.state / 'mlflow.db'}")
    return history


def test_all_well_is_said_and_exits_with_0(here: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_all(None, [], quick=False, as_json=False) == EXIT_HOLDS
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "nothing was altered: every signature, link, digest and file checked holds"
    assert any("MLflow has no store here" in line for line in lines)


def test_findings_are_named_as_json_and_exit_with_3(
    here: History, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    make_key(stranger)
    code = verify_all(None, [Path(f"{stranger}.pub")], quick=True, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert code == EXIT_FINDINGS and document["holds"] is False
    assert [one["where"] for one in document["findings"]] == ["ledger entry 1"]
    assert {"what", "count", "findings", "seconds"} == set(document["checked"][0])
    assert "files of workspaces" not in [one["what"] for one in document["checked"]]


def test_a_finding_is_printed_with_code_place_and_sentence() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    sentence = "sha256: expected 0123456789abcdef (run 20260101-000000-abcdefab), got fedcba9876543210 [x]"
    verdict = Verdict(
        checked=[Checked(what="records", count=1234, findings=1, seconds=0.5)],
        findings=[Finding(what="record/altered", where="run x: decision.json", sentence=sentence)],
        notes=[Note(where="registry", sentence="MLflow does not answer")],
    )
    print_verdict(verdict, console)
    text = console.export_text()
    assert "1,234" in text and "record/altered  run x: decision.json" in text and "1 finding" in text
    assert " ".join(text.split()).count(sentence) == 1, "brackets are text, not markup"
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_key_of_ones_own_one_has_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(SigningError, match="which key is the root of trust") as caught:
        root_keys([])
    assert caught.value.fix == "worldmodel audit verify --key FILE.pub"
    key = make_key(tmp_path / "one.pem")
    assert root_keys([tmp_path / "one.pem.pub"]) == (key.public,)


def test_where_nothing_was_recorded_there_is_nothing_to_verify(
    here: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.flows.history import _write_checkout

    empty = tmp_path / "empty"
    _write_checkout(empty)
    monkeypatch.chdir(empty)
    monkeypatch.setenv("WORLDMODEL_STATE", str(empty / ".worldmodel"))
    with pytest.raises(RecordError, match="nothing is recorded yet"):
        verify_all(None, [], quick=True, as_json=False)
    assert not (empty / ".worldmodel").exists(), "to verify makes nothing"


def test_a_ledger_that_was_deleted_is_a_finding_and_is_not_made_anew(
    history: History, here: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLDMODEL_LEDGER_URL", f"sqlite:///{tmp_path / 'gone.db'}")
    assert verify_all(None, [], quick=True, as_json=True) == EXIT_FINDINGS
    (only,) = json.loads(capsys.readouterr().out)["findings"]
    assert only["what"] == "ledger/lost" and "heads up to 11; worldmodel audit restore FILE" in only["sentence"]
    assert not (tmp_path / "gone.db").exists()
