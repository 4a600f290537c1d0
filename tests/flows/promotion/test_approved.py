"""Promoting what a gate let through, once people have approved it."""

from typing import Any

import pytest

from flows.ledger.bodies import ChampionFlagged, DataRecalled, DataReinstated, PromotionIntended
from flows.ledger.reading import bodies
from flows.promotion.approvals import Opinion, approve
from flows.promotion.approved import judged, promote_approved
from flows.promotion.policy import PromotionPolicy
from flows.promotion.promote import promote, promoted
from tests.flows.promotion.stage import NAME, Stage, promotion, registered, sha
from worldmodel.errors import RecordError, RegistryError, SigningError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own


def let(stage: Stage, number: int = 2) -> PromotionIntended:
    """Promotes a version."""
    return promoted(promote_approved(stage.ledger, stage.client, stage.records, registered(number), "dave"))


def approved_by(stage: Stage, *names: str, verdict: Any = "approve") -> list[int]:
    """Opinions of people on version 2."""
    policy = PromotionPolicy(approvals=1)
    return [
        approve(stage.ledger, registered(2), Opinion(verdict, "fit"), stage.keys[name], name, policy).sequence
        for name in names
    ]


@pytest.fixture
def waiting(stage: Stage) -> Stage:
    """Version 1 serves; version 2 was let through against it and waits for two approvals of alice, bob and eve."""
    promote(stage.ledger, stage.client, promotion(1, None), "trainer")
    stage.record_run(2, "promote", sha(1), approvals=2)
    for name in ("alice", "bob", "eve"):
        stage.enlist(name, "approver")
    return stage


def test_it_says_what_is_missing_and_then_promotes(waiting: Stage) -> None:
    first = approved_by(waiting, "alice")
    with pytest.raises(RegistryError, match="toy version 2 cannot be promoted now") as caught:
        let(waiting)
    assert caught.value.got == "1 of 2 approvals (of alice)"
    assert waiting.serving() == "1"
    second = approved_by(waiting, "bob")
    intent = let(waiting)
    assert (intent.cause, intent.approvals, intent.run_id) == ("approved", (*first, *second), "run-2")
    assert intent.reason == "the gate of run run-2 let it through, and alice, bob approved"
    assert intent.from_sha256 == sha(1)
    waiting.assert_agrees()


def test_a_champion_that_the_gate_did_not_compare_with_stops_it(waiting: Stage) -> None:
    approved_by(waiting, "alice", "bob")
    promote(waiting.ledger, waiting.client, promotion(3, 1), "trainer")
    with pytest.raises(RegistryError, match="cannot be promoted now") as caught:
        let(waiting)
    compared, serves = f"champion {sha(1)[:16]}", f"champion {sha(3)[:16]} (version 3)"
    assert caught.value.got == f"the gate of run run-2 compared it with {compared}, and now {serves} serves"
    assert waiting.serving() == "3"


def test_all_that_is_missing_is_said_at_once(waiting: Stage) -> None:
    waiting.record_run(2, "refuse", sha(1), run_id="run-2-again", approvals=2)
    approved_by(waiting, "eve", verdict="reject")
    with pytest.raises(RegistryError) as caught:
        let(waiting)
    said = ["the gate of run run-2-again said refuse", "eve rejects it: fit", "0 of 2 approvals"]
    assert caught.value.got == "; ".join(said)


def test_without_a_champion_and_without_approvals_the_gates_word_is_enough(stage: Stage) -> None:
    stage.record_run(2, "promote", None)
    intent = let(stage)
    assert (intent.version, intent.approvals) == ("2", ())


def test_what_serves_already_is_left_as_it_is(stage: Stage) -> None:
    stage.record_run(2, "promote", None)
    let(stage)
    head = stage.ledger.head()
    assert promote_approved(stage.ledger, stage.client, stage.records, registered(2), "dave") == []
    assert stage.ledger.head() == head


def test_an_alias_that_was_put_there_by_hand_makes_no_champion(stage: Stage) -> None:
    stage.record_run(2, "promote", None)
    stage.put_by_hand(2)
    with pytest.raises(RegistryError, match="cannot be promoted now") as caught:
        let(stage)
    assert "compared it with no champion" in caught.value.got and caught.value.expected.endswith(", no approvals")


def test_recalled_data_stop_it(waiting: Stage) -> None:
    approved_by(waiting, "alice", "bob")
    flag = ChampionFlagged(name=NAME, version="2", model_sha256=sha(2), recalled="log l1", splits={"train": 2})
    waiting.ledger.append_all([DataRecalled(what="log", id="l1", reason="consent"), flag], "dave")
    with pytest.raises(RegistryError) as caught:
        let(waiting)
    assert caught.value.got == "it has seen recalled data (log l1), which the next run leaves out"
    waiting.ledger.append(DataReinstated(what="log", id="l1", reason="consent again"), "dave")
    assert let(waiting).version == "2"


def test_a_run_that_is_not_recorded_or_was_altered_counts_for_nothing(stage: Stage) -> None:
    with pytest.raises(RecordError, match="toy version 2: no run that made it is recorded"):
        let(stage)
    stage.record_run(2, "promote", None)
    run = stage.records.run("run-2")
    decision = stage.records.path(run.files["decision.json"])
    content = decision.read_bytes()
    decision.write_bytes(content.replace(b"none", b"nono"))
    with pytest.raises(RecordError, match=r"decision.json of run run-2 was altered"):
        let(stage)
    decision.write_bytes(content)
    path = stage.records.run_path("run-2")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RecordError, match="the statement of run run-2 was altered"):
        let(stage)
    assert stage.kinds() == []


def test_a_run_that_another_key_signed_counts_for_nothing(stage: Stage) -> None:
    trusted, stage.key = stage.key, stage.enlist("mallory", "approver")
    stage.record_run(2, "promote", None)
    stage.key = trusted
    entries = [entry for entry in stage.ledger.entries() if entry.kind != "key.trusted" or entry.sequence == 1]
    with pytest.raises(SigningError, match="the statement of run run-2: signed by no trusted key"):
        judged(entries, stage.records, registered(2))
    assert list(bodies(stage.ledger.entries(), PromotionIntended)) == []
