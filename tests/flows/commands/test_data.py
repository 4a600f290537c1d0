import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.commands.data import list_recalls, recall_data, reinstate_data
from flows.ledger.anchors import read_anchors
from tests.flows.copied import copied
from tests.flows.history import History, environment, make_history
from worldmodel.data.sources import ResolvedSource, remember_paths
from worldmodel.errors import ParamsError, RecordError, SigningError


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("past"))


@pytest.fixture
def made(past: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """A history, and a shell in its checkout."""
    made = copied(past, tmp_path)
    for name in ("WORLDMODEL_STATE", "WORLDMODEL_SIGNING_KEY"):
        monkeypatch.setenv(name, environment(made)[name])
    monkeypatch.setenv("WORLDMODEL_ACTOR", "auditor")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(made.root)
    yield made
    made.ledger.close()


def recalled(id: str, reason: str = "consent withdrawn", **how: Any) -> int:
    return recall_data(id, reason, **{"clip": False, "unknown": False, "yes": True, "as_json": False} | how)


def test_a_recall_says_who_saw_it_and_how_to_train_anew_and_anchors_the_ledger(
    made: History, capsys: pytest.CaptureFixture[str]
) -> None:
    remember_paths(made.state / "sources.local.json", [ResolvedSource("drives", "dgp", "5" * 64, Path("/data/drives"))])
    before = len(read_anchors(made.root))
    assert recalled("log-b") == 0
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith("  "))
    rows = [line.split() for line in said.splitlines() if line.startswith("toy version")]
    assert [row[2:4] for row in rows[:3]] == [["1", "2"], ["2", "2"], ["3", "champion"]]
    assert "toy version 3 is champion and has seen it: flagged" in said
    assert "worldmodel run --profile tiny --data dgp:/data/drives" in said
    assert "the next prepare leaves it out" in said
    assert len(read_anchors(made.root)) == before + 1
    proposed = next(made.ledger.entries(kinds=("retraining.proposed",)))
    assert proposed.body is not None and "/data" not in proposed.body["command"], "a path of this machine is recorded"


def test_a_second_recall_says_so(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    recalled("log-a", "blurred faces")
    head = made.ledger.head()
    capsys.readouterr()
    assert recalled("log-a", "again") == 0
    said = capsys.readouterr().out
    assert "is recalled already" in said and "blurred faces" in said and "nothing changes" in said
    assert made.ledger.head() == head


def test_as_json_it_is_one_document(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    recalled("log-d-clip0", clip=True, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["what"], found["changed"], [m["splits"] for m in found["affected"]]) == (
        "clip",
        True,
        [{"test": 1}] * 3,
    )
    assert found["retraining"] == {"toy version 3": "worldmodel run --profile tiny --data dgp:drives"}


def test_an_unknown_id_is_refused_unless_forced(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecordError, match="no log log-x is known"):
        recalled("log-x")
    assert not list(made.ledger.entries(kinds=("data.recalled",)))
    assert recalled("log-x", unknown=True) == 0
    assert "no registered model has seen log log-x" in capsys.readouterr().out


def test_without_anybody_to_ask_nothing_is_recorded(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ({"as_json": True}, {}):
        with pytest.raises(ParamsError, match="nobody can be asked"):
            recalled("log-a", yes=False, **answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert recalled("log-a", yes=False) == 1
    assert not list(made.ledger.entries(kinds=("data.recalled",)))
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert recalled("log-a", yes=False) == 0
    assert len(list(made.ledger.entries(kinds=("data.recalled",)))) == 1


def test_a_key_that_the_ledger_does_not_trust_may_not_recall(
    made: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows.signing.keys import make_key

    make_key(tmp_path / "other.pem")
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(tmp_path / "other.pem"))
    with pytest.raises(SigningError):
        recalled("log-a")
    assert not list(made.ledger.entries(kinds=("data.recalled",)))


def test_recalls_are_listed_now_and_as_of_a_time(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_recalls(None, as_json=False) == 0
    assert "nothing is recalled" in capsys.readouterr().out
    recalled("log-a", "blurred faces")
    recalled("log-e", "wrong licence")
    reinstate_data("log-e", "it was right", clip=False, as_json=False)
    assert "reinstated" in capsys.readouterr().out
    list_recalls(None, as_json=False)
    said = capsys.readouterr().out
    assert "log-a" in said and "auditor" in said and "blurred faces" in said and "log-e" not in said
    list_recalls(None, as_json=True)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["recalls"]] == ["log-a"]
    list_recalls(made.after[-1], as_json=True)
    assert json.loads(capsys.readouterr().out)["recalls"] == []


def test_reinstating_what_is_not_recalled_says_so(made: History, capsys: pytest.CaptureFixture[str]) -> None:
    head = made.ledger.head()
    assert reinstate_data("log-a", "it is fine", clip=False, as_json=False) == 0
    assert "is not recalled: nothing changes" in capsys.readouterr().out and made.ledger.head() == head
