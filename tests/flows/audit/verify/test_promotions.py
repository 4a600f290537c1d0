"""Promotions: what a hand on the ledger, or a faulty promoter, would leave behind."""

from pathlib import Path
from typing import Any

import pytest

from flows.audit.finding import Finding
from flows.ledger.bodies import (
    AliasObserved,
    ModelRegistered,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
)
from flows.ledger.entry import Entry
from flows.ledger.trust import trust
from flows.promotion.approvals import Opinion, approve
from flows.promotion.policy import PromotionPolicy
from flows.signing.keys import SigningKey, make_key
from tests.flows.audit.verify.tampering import edited, record_path, restated, rewrite, verdict_on
from tests.flows.history import MODEL, History


def intent(made: History, to: int, since: int | None, **changes: Any) -> PromotionIntended:
    """A promotion of the version of run `to` in place of that of run `since`, by that run's gate."""
    run, before = made.runs[to], None if since is None else made.runs[since]
    fields = {
        "promotion": "again",
        "name": MODEL,
        "version": run.model["version"],
        "model_sha256": run.model["sha256"],
        "from_version": before and before.model["version"],
        "from_sha256": before and before.model["sha256"],
        "cause": "gate",
        "reason": "because",
        "run_id": run.run_id,
        "decision_sha256": made.records.run(run.run_id).facts.decision_sha256,
    }
    return PromotionIntended.model_validate(fields | changes)


def promoted(made: History, body: PromotionIntended) -> list[Finding]:
    """What is found once a promotion is intended and completed."""
    made.ledger.append(body, "somebody")
    made.ledger.append(PromotionCompleted(promotion=body.promotion, name=body.name, by="promoter"), "somebody")
    return verdict_on(made, quick=True).findings


def told(findings: list[Finding]) -> list[str]:
    return [one.what for one in findings]


def test_a_rollback_to_a_champion_of_before_holds(history: History) -> None:
    assert promoted(history, intent(history, 0, 2, cause="rollback", run_id=None, decision_sha256=None)) == []


def test_a_rollback_to_what_was_never_champion_is_found(history: History) -> None:
    assert told(promoted(history, intent(history, 1, 2, cause="rollback"))) == ["promotion/no-reason"]


def test_a_promotion_that_begins_elsewhere_than_the_champion_is_a_lost_update(history: History) -> None:
    (only,) = promoted(history, intent(history, 0, 1, cause="rollback"))
    assert only.what == "promotion/lost-update"
    assert "version 3" in only.sentence and "version 2" in only.sentence


def test_a_promotion_may_begin_where_the_alias_was_observed(history: History) -> None:
    second = history.runs[1].model
    seen = AliasObserved(
        name=MODEL, recorded_version="3", found_version=second["version"], found_sha256=second["sha256"]
    )
    history.ledger.append(seen, "reconciler")
    assert promoted(history, intent(history, 0, 1, cause="rollback")) == []
    assert any("the alias of toy stood at version 2" in note.sentence for note in verdict_on(history, quick=True).notes)


def test_a_model_that_its_gate_refused_is_found_promoted(history: History) -> None:
    assert "promotion/refused" in told(promoted(history, intent(history, 1, 2)))


def test_a_promotion_by_the_decision_of_another_run_is_found(history: History) -> None:
    body = intent(history, 1, 2, run_id=history.runs[0].run_id)
    found = told(promoted(history, body))
    assert {"promotion/other-decision", "promotion/other-model"} <= set(found)


@pytest.mark.parametrize("changes", [{"run_id": None}, {"run_id": "20300101-000000-abcdefab"}])
def test_a_promotion_without_a_recorded_decision_is_found(history: History, changes: dict[str, Any]) -> None:
    assert told(promoted(history, intent(history, 1, 2, **changes))) == ["promotion/no-decision"]


def test_a_promotion_of_what_was_not_registered_is_found(history: History) -> None:
    body = intent(history, 0, 2, cause="rollback", version="9")
    assert "promotion/other-model" in told(promoted(history, body))


def test_a_version_that_was_registered_as_two_models_is_found(history: History) -> None:
    history.ledger.append(
        ModelRegistered(name=MODEL, version="1", model_sha256="b" * 64, run_id="x", parts={}), "somebody"
    )
    assert told(verdict_on(history, quick=True).findings) == ["promotion/other-model"]


def test_a_version_that_was_registered_as_what_its_run_did_not_make_is_found(history: History) -> None:
    run = history.runs[0]
    body = ModelRegistered(
        name=MODEL, version="9", model_sha256=run.model["sha256"], run_id=run.run_id, parts={"worldrec": "b" * 64}
    )
    history.ledger.append(body, "somebody")
    (only,) = verdict_on(history, quick=True).findings
    assert only.what == "promotion/other-model" and f"as run {run.run_id} made it" in only.sentence


def test_a_completion_that_nobody_intended_is_found(history: History) -> None:
    history.ledger.append(PromotionCompleted(promotion="p1", name=MODEL, by="promoter"), "somebody")
    assert told(verdict_on(history, quick=True).findings) == ["promotion/no-intent"]


def test_an_open_intent_is_a_note_and_one_given_up_is_neither(history: History) -> None:
    history.ledger.append(intent(history, 0, 2), "somebody")
    verdict = verdict_on(history, quick=True)
    assert verdict.findings == []
    assert ["neither completed nor abandoned yet" in note.sentence for note in verdict.notes] == [True]
    history.ledger.append(PromotionAbandoned(promotion="again", name=MODEL, why="the alias did not move"), "somebody")
    verdict = verdict_on(history, quick=True)
    assert (verdict.findings, verdict.notes) == ([], [])


@pytest.fixture
def carla(history: History, tmp_path: Path) -> SigningKey:
    """The key of somebody who may approve."""
    key = make_key(tmp_path / "carla.pem")
    trust(history.ledger, history.key, key.public, "carla", ("approver",), "admin")
    return key


def approved(made: History, key: SigningKey) -> Entry:
    """The first run's model, approved by carla."""
    run = made.runs[0]
    model = ModelRegistered(
        name=MODEL, version="1", model_sha256=run.model["sha256"], run_id=run.run_id, parts=run.model["parts"]
    )
    return approve(made.ledger, model, Opinion("approve", "seen it drive"), key, "carla", PromotionPolicy())


def test_a_promotion_past_the_approvals_that_its_params_ask_for_is_found(history: History) -> None:
    params = record_path(history, 0, "params.yaml").read_text() + "promotion: {approvals: 1}\n"
    restated(history, 0, {"params.yaml": params.encode()})
    found = [one for one in verdict_on(history, quick=True).findings if one.what == "promotion/against-policy"]
    assert [one.where for one in found] == ["ledger entry 3 (promotion.intended)"]
    assert "the policy asks for 1 approvals" in found[0].sentence


def test_an_approval_that_was_altered_is_found_with_the_promotion_that_rests_on_it(
    history: History, carla: SigningKey
) -> None:
    entry = approved(history, carla)
    body = intent(history, 0, 2, cause="approved", approvals=(entry.sequence,))
    assert promoted(history, body) == []
    rewrite(history, edited("approval.recorded", 0, reason="never seen it"), chained=True)
    found = verdict_on(history, quick=True).findings
    where = f"ledger entry {entry.sequence} (approval.recorded)"
    assert ("approval/changed", where) in [(one.what, one.where) for one in found]
    assert "promotion/no-approval" in told(found)


def test_an_approval_by_a_key_that_is_no_approvers_is_found(history: History, carla: SigningKey) -> None:
    approved(history, carla)
    rewrite(history, lambda rows: [row for row in rows if row["sequence"] != 12], chained=True)
    assert "signature/unknown-key" in told(verdict_on(history, quick=True).findings)
