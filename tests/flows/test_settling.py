"""Runs whose driver was stopped while it closed them: the next run takes the steps that are missing, and no others."""

import os
from pathlib import Path

import pytest

from flows.git import git
from flows.ledger.bodies import KIND_OF, RunRecorded
from flows.ledger.trust import revoke, trust
from flows.lineage.recorder import Recorder
from flows.runs import RunRecord, Runs
from flows.settling import settle
from flows.signing.dsse import sign
from flows.signing.keys import SigningKey, make_key
from flows.signing.statements import RunFacts, run_statement
from flows.workspace import Snapshot, open_workspace, record
from tests.flows.audit.verify.tampering import codes, verdict_on
from tests.flows.copied import copied
from tests.flows.history import History, make_history


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("past"))


@pytest.fixture
def made(past: History, tmp_path: Path) -> History:
    return copied(past, tmp_path)


def begun(made: History, *, pid: int = 0) -> RunRecord:
    """A run of the first snapshot that ended a moment ago, its ref on the snapshot; nothing is signed yet."""
    first = made.runs[0]
    runs = Runs(made.state)
    run = runs.create(first.key, profile="tiny", snapshot=first.snapshot, dirty=first.dirty, sources=[])
    run.commit = record(made.root, run.run_id, _snapshot(made))
    run.pid = pid
    runs.finish(run, "stopped_early", 0)
    return run


def _snapshot(made: History) -> Snapshot:
    first = made.records.run(made.runs[0].run_id).facts
    return Snapshot(first.snapshot, first.tree, first.dirty)


def stated(made: History, run: RunRecord, key: SigningKey | None = None) -> RunFacts:
    """The first step of closing it: its statement, which names the params and sources that the first run has."""
    first = made.records.run(made.runs[0].run_id)
    files = {name: first.files[name] for name in ("params.yaml", "data/sources.json", "data/recalls.json")}
    nothing = {"decision_sha256": None, "verdict": None, "model": None, "version": None, "model_sha256": None}
    changes = {"run_id": run.run_id, "status": run.status, "parts": {}, **nothing}
    facts = RunFacts.model_validate(first.facts.model_dump() | changes)
    made.records.add_run(run.run_id, sign(run_statement(facts, files), key or made.key))
    return facts


def entered(made: History, run: RunRecord) -> None:
    """The first two steps, as a driver takes them."""
    workspace = open_workspace(made.root, made.state, _snapshot(made))
    recorder = Recorder(made.records, made.ledger, made.key, run, _snapshot(made), workspace)
    recorder.close(Runs(made.state).folder(run.run_id), "", None)


def settled(made: History) -> list[str]:
    return settle(made.root, made.state, made.ledger, made.key)


def found(made: History) -> set[str]:
    return codes(verdict_on(made, quick=True).findings)


def test_where_nothing_is_left_to_do_nothing_is_done(made: History) -> None:
    head = made.ledger.head()
    assert settled(made) == [] and made.ledger.head() == head


def test_a_run_that_was_killed_before_its_entry_is_entered_and_put_on_its_ref(made: History) -> None:
    run = begun(made)
    facts = stated(made, run)
    assert found(made) == {"run/unrecorded"}
    assert settled(made) == [run.run_id]
    assert found(made) == set()
    entry = made.ledger.head()
    assert entry is not None and entry.body is not None
    assert (entry.kind, entry.actor, entry.body["run_id"]) == (KIND_OF[RunRecorded], facts.actor, run.run_id)
    tip = git(made.root, "rev-parse", f"refs/worldmodel/runs/{run.run_id}")
    assert Runs(made.state).find(run.run_id).commit == tip != run.snapshot
    assert settled(made) == []


def test_a_run_that_was_killed_between_its_entry_and_its_ref_is_put_on_its_ref(made: History) -> None:
    run = begun(made)
    entered(made, run)
    head = made.ledger.head()
    assert found(made) == {"git/missing"}
    assert settled(made) == [run.run_id] and made.ledger.head() == head
    assert found(made) == set()


def test_a_run_whose_driver_lives_is_left_alone(made: History) -> None:
    stated(made, begun(made, pid=os.getpid()))
    assert settled(made) == []


def test_what_no_runner_has_signed_is_left_to_the_verifier(made: History, tmp_path: Path) -> None:
    approver, left = (make_key(tmp_path / f"{name}.pem") for name in ("approver", "left"))
    trust(made.ledger, made.key, approver.public, "ada", ["approver"], "root")
    trust(made.ledger, made.key, left.public, "bob", ["runner"], "root")
    revoke(made.ledger, made.key, left.keyid, "left", "root")
    head = made.ledger.head()
    for key in (approver, left, make_key(tmp_path / "stranger.pem")):
        stated(made, begun(made), key)
    assert settled(made) == [] and made.ledger.head() == head
    assert found(made) == {"run/unrecorded"}


def test_a_statement_under_the_name_of_another_run_is_left_to_the_verifier(made: History) -> None:
    path = made.records.run_path(made.runs[1].run_id)
    made.records.run_path(begun(made).run_id).write_bytes(path.read_bytes())
    assert settled(made) == []
    assert found(made) == {"run/unrecorded"}


def test_an_entry_of_another_statement_than_is_there_is_left_to_the_verifier(made: History) -> None:
    run = begun(made)
    entered(made, run)
    stated(made, run)
    assert settled(made) == []
    assert "run/replaced" in found(made)
