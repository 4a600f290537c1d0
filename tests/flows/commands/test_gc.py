"""The command `gc`: what it shows, that a dry run changes nothing, and that nobody is asked in vain."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.commands.gc import gc
from flows.ledger.store import Ledger, ledger_url
from flows.retention.rule import Rule
from flows.signing.keys import make_key
from tests.flows.history import History, environment, make_history
from tests.flows.retention.states import AN_HOUR, put_object, tree_digest, with_workspaces
from worldmodel.errors import LedgerError, ParamsError, SigningError


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A history that no test may change."""
    made = make_history(tmp_path_factory.mktemp("past"))
    made.ledger.close()
    return made


@pytest.fixture
def made(past: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """A copy of it, and a shell in its checkout."""
    made = with_workspaces(past, tmp_path / "checkout")
    made.ledger.close()
    for name in ("WORLDMODEL_STATE", "WORLDMODEL_SIGNING_KEY"):
        monkeypatch.setenv(name, environment(made)[name])
    monkeypatch.setenv("WORLDMODEL_ACTOR", "ann")
    monkeypatch.chdir(made.root)
    yield made


def rule(newest: int = 1, **more: bool) -> Rule:
    return Rule(newest, now=time.time() + AN_HOUR, **more)


def test_a_dry_run_shows_what_would_go_and_changes_nothing(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_digest(made.root)
    assert gc(rule(drop_refused=True), dry_run=True, yes=False, as_json=False) == 0
    assert gc(rule(drop_refused=True), dry_run=True, yes=False, as_json=True) == 0
    assert tree_digest(made.root) == before
    said, _, document = capsys.readouterr().out.partition("{\n")
    assert all(len(line) <= 80 for line in said.splitlines())
    assert [line.split()[:2] for line in said.splitlines() if "not kept" in line] == [["workspace", "1"]]
    assert "toy/1 was champion" in said and "would free 0.0 MB; nothing was changed" in said
    found = json.loads("{" + document)
    assert found["dry_run"] and found["bytes"] == sum(item["bytes"] for item in found["items"]) > 0
    assert {item["kind"] for item in found["items"]} == {"workspace", "object"}
    assert {run["run_id"] for run in found["kept"]} == {made.runs[0].run_id, made.runs[2].run_id}


def test_it_deletes_when_told_so_and_names_the_tombstones(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    put_object(made.state, b"nobody's")
    assert gc(rule(), dry_run=False, yes=True, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert {item["kind"] for item in found["items"]} == {"workspace", "object"}
    assert not made.workspace(made.runs[1]).exists()
    ledger = Ledger.open(ledger_url(made.state))
    assert [entry.actor for entry in map(ledger.entry, found["entries"])] == ["ann"]
    ledger.close()
    assert gc(rule(), dry_run=False, yes=False, as_json=False) == 0  # there is nothing to ask about
    assert "0 things are deleted, 0.0 MB: nothing was to do" in capsys.readouterr().out


def test_where_nobody_can_be_asked_nothing_is_deleted(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    before = tree_digest(made.state / "workspaces")
    with pytest.raises(ParamsError, match="nobody can be asked") as raised:
        gc(rule(), dry_run=False, yes=False, as_json=False)
    assert "--yes" in raised.value.fix
    assert tree_digest(made.state / "workspaces") == before


def test_a_key_that_the_ledger_does_not_trust_deletes_nothing(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    make_key(made.root / "other.pem")
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(made.root / "other.pem"))
    with pytest.raises(SigningError, match="does not let key"):
        gc(rule(), dry_run=False, yes=True, as_json=False)
    assert made.workspace(made.runs[1]).is_dir()
    assert gc(rule(), dry_run=True, yes=False, as_json=False) == 0


def test_where_nothing_is_recorded_it_says_so_and_makes_no_ledger(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDMODEL_STATE", str(made.root / "elsewhere"))
    with pytest.raises(LedgerError, match="nothing is recorded yet"):
        gc(rule(), dry_run=True, yes=False, as_json=False)
    assert not (made.root / "elsewhere").exists()


def test_a_state_directory_behind_a_link_is_swept(
    made: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").symlink_to(made.state)
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path / "state"))
    assert gc(rule(), dry_run=False, yes=True, as_json=False) == 0
    assert not made.workspace(made.runs[1]).exists()


def test_what_is_needed_by_the_time_somebody_answers_stays(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = put_object(made.state, b"needed in the end")

    def answer(question: str) -> str:
        assert question.startswith("Delete ")
        lock = made.state / "runs" / made.runs[2].run_id / "dvc.lock"
        lock.write_text(f"{lock.read_text()}# {kept}\n")
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    assert gc(rule(), dry_run=False, yes=False, as_json=False) == 0
    assert (made.state / "cache" / "files" / "md5" / kept[:2] / kept[2:]).is_file()
    assert not made.workspace(made.runs[1]).exists()
