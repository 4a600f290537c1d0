"""How a run is closed: what ended it is what its user reads, and what could not be recorded is said beside it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.driver import Driver
from flows.ledger.store import Ledger
from flows.ledger.trust import revoke, trust
from flows.opening import _closing, _ledger_and_key
from flows.reporter import Reporter
from flows.runs import RunRecord, Runs
from flows.signing.keys import make_key
from tests.flows.history import make_history
from worldmodel.errors import LedgerError, SigningError, StageError


class Stub:
    """What closing asks of a driver; `publish` fails as it is told."""

    def __init__(self, state: Path, fails: Exception | None) -> None:
        self.runs, self.fails = Runs(state), fails
        self.record = self.runs.create("k" * 16, profile="tiny", snapshot="s", dirty=False, sources=[])
        self.said: list[str] = []
        self.ended: list[str] = []
        self.reporter = SimpleNamespace(say=self.said.append)
        self.tracker = SimpleNamespace(finish=lambda status, tags: self.ended.append(status))

    def publish(self) -> None:
        self.record.commit = "tried"
        if self.fails is not None:
            raise self.fails

    def kept(self) -> RunRecord:
        return self.runs.find(self.record.run_id)


def close(stub: Stub, error: BaseException | None = None) -> None:
    with _closing(cast(Driver, cast(Any, stub))):
        if error is not None:
            raise error
        stub.runs.finish(stub.record, "refused", 3)


AWAY = LedgerError("the store does not answer")


@pytest.mark.parametrize(
    ("error", "status", "in_mlflow"),
    [(StageError("stage two failed"), "failed", "FAILED"), (KeyboardInterrupt(), "cancelled", "KILLED")],
)
def test_what_ended_a_run_is_what_is_raised_though_its_records_cannot_be_closed(
    tmp_path: Path, error: BaseException, status: str, in_mlflow: str
) -> None:
    stub = Stub(tmp_path, AWAY)
    with pytest.raises(type(error)) as caught:
        close(stub, error)
    assert caught.value is error
    kept = stub.kept()
    assert (kept.status, kept.error, kept.commit) == (status, str(error) or repr(error), "tried")
    assert stub.ended == [in_mlflow]
    assert stub.said == [f"the run ended, but could not be recorded: {AWAY}"]


def test_a_run_that_came_to_its_end_keeps_its_result_and_says_that_it_is_not_recorded(tmp_path: Path) -> None:
    stub = Stub(tmp_path, AWAY)
    with pytest.raises(LedgerError):
        close(stub)
    kept = stub.kept()
    assert (kept.status, kept.exit_code, kept.commit) == ("refused", 1, "tried")
    assert kept.error is not None and "could not be recorded" in kept.error and "does not answer" in kept.error
    assert stub.ended == ["FAILED"] and "the next run sees to it" in stub.said[0]


def test_a_run_that_is_closed_well_says_nothing(tmp_path: Path) -> None:
    stub = Stub(tmp_path, None)
    close(stub)
    assert (stub.said, stub.ended, stub.kept().status, stub.kept().error) == ([], ["FINISHED"], "refused", None)


@pytest.mark.parametrize("act", [Driver.publish, lambda driver: Driver.promote(driver, "3", None)])
def test_a_key_that_was_revoked_during_the_run_neither_promotes_nor_records(
    tmp_path: Path, act: Callable[[Driver], None]
) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    root, lost = (make_key(tmp_path / f"{name}.pem") for name in ("root", "lost"))
    trust(ledger, root, lost.public, "bob", ["runner"], "ann")
    revoke(ledger, root, lost.keyid, "lost on a train", "ann")
    recorder, record = SimpleNamespace(key=lost), SimpleNamespace(actor="bob")
    stub = SimpleNamespace(ledger=ledger, recorder=recorder, record=record, _mlflow=lambda: (None, ""))
    head = ledger.head()
    with pytest.raises(SigningError, match="lost on a train"):
        act(cast(Driver, cast(Any, stub)))
    assert ledger.head() == head
    ledger.close()


def test_a_ledger_that_begins_anew_where_git_has_heads_of_another_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_history(tmp_path)
    made.ledger.close()
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(made.key_path))
    said: list[str] = []
    reporter = cast(Reporter, SimpleNamespace(say=said.append))
    _ledger_and_key(made.root, made.state, reporter)
    assert said == []
    _ledger_and_key(made.root, tmp_path / "elsewhere", reporter)
    assert len(said) == 1 and "6 signed heads" in said[0] and "worldmodel audit restore FILE" in said[0]
