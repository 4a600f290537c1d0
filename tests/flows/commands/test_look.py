"""The commands that only look."""

from pathlib import Path

import pytest

from flows.audit.books import open_books
from flows.commands import look
from flows.recall import recall, reinstate
from tests.flows.history import make_history


def test_a_champion_is_flagged_for_as_long_as_the_recall_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLDMODEL_LEDGER_URL", raising=False)
    assert look._flags(tmp_path / "nowhere") == []
    made = make_history(tmp_path)
    made.ledger.close()
    assert look._flags(made.state) == []
    with open_books(made.state, made.root) as books:
        recall(books, "log", "log-b", "consent withdrawn", "auditor")
    (flag,) = look._flags(made.state)
    assert (flag["version"], flag["recalled"], flag["splits"]) == ("3", "log log-b", {"train": 2})
    with open_books(made.state, made.root) as books:
        reinstate(books, "log", "log-b", "consent again", "auditor")
    assert look._flags(made.state) == []
