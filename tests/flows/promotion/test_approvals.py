"""Approvals: signed, verified whenever they count, one a person, and none by who trained the model."""

import subprocess
import sys
from typing import Any

import pytest

from flows.ledger.bodies import ApprovalRecorded, ModelRegistered, PromotionIntended
from flows.ledger.reading import body_of
from flows.ledger.trust import revoke
from flows.promotion.approvals import Approvals, Opinion, approve, complaints, counted
from flows.promotion.policy import PromotionPolicy, read_policy
from flows.signing.dsse import sign
from flows.signing.keys import SigningKey, make_key
from flows.signing.statements import APPROVAL, ApprovalFacts, fact_statement
from tests.flows.promotion.stage import NAME, TRAINER, Stage, registered, sha
from worldmodel.errors import ParamsError, SigningError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own
TWO = PromotionPolicy(approvals=2)
MODEL = registered(1)
LATER = "2999-01-01T00:00:00.000000Z"


def say(stage: Stage, key: SigningKey, actor: str, verdict: Any = "approve", policy: PromotionPolicy = TWO) -> int:
    """Records an opinion on version 1; returns the number of its entry."""
    return approve(stage.ledger, MODEL, Opinion(verdict, "seen and fit"), key, actor, policy).sequence


def count(stage: Stage, policy: PromotionPolicy = TWO, model: ModelRegistered = MODEL) -> Approvals:
    """What the approvals come to now."""
    return counted(stage.ledger.entries(), model.model_sha256, policy)


def forge(stage: Stage, key: SigningKey, approver: str, *, body: Any = None, **facts: Any) -> int:
    """Puts an approval past `approve` into the ledger, signed by a key."""
    said = {"model": NAME, "model_sha256": sha(1), "approver": approver, "verdict": "approve", "reason": "fit"}
    signed = ApprovalFacts.model_validate({**said, "time": LATER, **facts})
    envelope = sign(fact_statement(signed, APPROVAL, {NAME: signed.model_sha256}), key)
    written = {**said, "keyid": key.keyid, "envelope": envelope, **(body or {})}
    return stage.ledger.append(ApprovalRecorded.model_validate(written), approver).sequence


def test_two_people_who_did_not_train_it_are_enough(stage: Stage) -> None:
    stage.record_run(1)
    alice, bob = stage.enlist("alice", "approver"), stage.enlist("bob", "approver", "runner")
    assert count(stage).missing == "0 of 2 approvals"
    first = say(stage, alice, "alice")
    assert count(stage).missing == "1 of 2 approvals (of alice)"
    second = say(stage, bob, "bob")
    found = count(stage)
    assert (found.granted, found.approvers, found.missing) == ((first, second), ("alice", "bob"), "")
    assert count(stage, model=registered(2)).granted == ()


def test_a_person_counts_once_with_however_many_keys_and_words(stage: Stage) -> None:
    stage.record_run(1)
    alice, other = stage.enlist("alice", "approver"), stage.enlist(" Alice", "approver")
    say(stage, alice, "alice")
    last = [say(stage, key, "alice") for key in (alice, other)][-1]
    assert count(stage).granted == (last,)
    assert len(count(stage).missing.split("; ")) == 1


def test_a_key_counts_once_with_however_many_owners(stage: Stage) -> None:
    stage.record_run(1)
    alice = stage.enlist("alice", "approver")
    first = say(stage, alice, "alice")
    from flows.ledger.trust import trust

    trust(stage.ledger, stage.key, alice.public, "bob", ("approver",), TRAINER)
    say(stage, alice, "bob")
    found = count(stage)
    assert found.granted == (first,)
    assert found.refused == ("the approval of bob does not count: its key has approved already",)


def test_who_trained_a_model_may_not_approve_it(stage: Stage) -> None:
    stage.record_run(1, actor="carol")
    carol, bob = stage.enlist("carol", "approver"), stage.enlist("bob", "approver")
    with pytest.raises(SigningError, match="carol may not approve this model") as caught:
        say(stage, carol, "somebody")
    assert caught.value.got == "carol ran what made it (run-1)" and "another account" in caught.value.fix
    with pytest.raises(SigningError, match="bob may not approve this model") as caught:
        say(stage, bob, "carol")  # with another's key
    assert "from another account than carol" in caught.value.fix and caught.value.fix.endswith("WORLDMODEL_ACTOR=bob")
    stage.enlist("trainer", "approver")
    with pytest.raises(SigningError, match="trainer may not approve this model"):
        say(stage, stage.keys["trainer"], "x")  # owns the key that signed the run, and registered the model
    say(stage, carol, "carol", policy=PromotionPolicy(approvals=1, separate_duties=False))
    assert len(count(stage, PromotionPolicy(approvals=1, separate_duties=False)).granted) == 1
    found = count(stage)  # the entry is there, and does not count
    assert found.granted == () and "carol ran what made it (run-1)" in found.missing


def test_the_key_that_signed_the_run_may_not_approve_whoever_holds_it(stage: Stage) -> None:
    from flows.ledger.trust import trust

    stage.record_run(1, actor="ci")
    trust(stage.ledger, stage.key, stage.key.public, "alice", ("admin", "runner", "approver"), TRAINER)
    with pytest.raises(SigningError, match="alice may not approve") as caught:
        say(stage, stage.key, "alice")
    assert caught.value.got == "the key has signed the run that made it (run-1)" and "--key FILE" in caught.value.fix
    assert count(stage).granted == ()


def test_nobody_may_approve_what_nobody_is_known_to_have_trained(stage: Stage) -> None:
    alice = stage.enlist("alice", "approver")
    with pytest.raises(SigningError, match="alice may not approve") as caught:
        say(stage, alice, "alice")
    assert "nobody knows who trained it" in caught.value.got and caught.value.fix.startswith("wait until the run")
    forge(stage, alice, "alice")
    assert count(stage).granted == ()


def test_a_rejection_blocks_until_the_same_person_approves(stage: Stage) -> None:
    stage.record_run(1)
    alice, bob, eve = (stage.enlist(name, "approver") for name in ("alice", "bob", "eve"))
    say(stage, alice, "alice", "reject")
    say(stage, bob, "bob")
    say(stage, eve, "eve")
    assert count(stage).missing == "alice rejects it: seen and fit"
    assert count(stage, PromotionPolicy()).missing == "alice rejects it: seen and fit"
    say(stage, alice, "alice")
    assert count(stage).missing == "" and len(count(stage).granted) == 3


def test_even_who_trained_it_may_reject_it(stage: Stage) -> None:
    stage.record_run(1, actor="carol")
    say(stage, stage.enlist("carol", "approver"), "carol", "reject")
    assert count(stage).rejected == ("carol rejects it: seen and fit",)


def test_only_trusted_approvers_approve_and_always_with_a_reason(stage: Stage) -> None:
    stage.record_run(1)
    runner, alice = stage.enlist("runner", "runner"), stage.enlist("alice", "approver")
    stranger = make_key(stage.root / "stranger.pem")
    for key, state in ((runner, "trusted as runner"), (stranger, "not trusted")):
        with pytest.raises(SigningError, match="may not approve") as caught:
            say(stage, key, "x")
        assert caught.value.got == state and "worldmodel audit trust" in caught.value.fix
    with pytest.raises(ParamsError, match="--reason"):
        approve(stage.ledger, MODEL, Opinion("approve", " "), alice, "alice", TWO)
    revoke(stage.ledger, stage.key, alice.keyid, "left", TRAINER)
    with pytest.raises(SigningError, match="may not approve") as caught:
        say(stage, alice, "alice")
    assert caught.value.got.startswith("revoked 2")


def test_what_a_key_approved_before_it_was_revoked_stands(stage: Stage) -> None:
    stage.record_run(1)
    alice = stage.enlist("alice", "approver")
    number = say(stage, alice, "alice")
    revoke(stage.ledger, stage.key, alice.keyid, "left", TRAINER)
    assert count(stage).granted == (number,)
    forge(stage, alice, "alice", time=LATER)
    assert count(stage).granted == (number,)
    assert any("signed by no trusted key" in why for why in count(stage).refused)


def test_forgeries_do_not_count_and_are_named(stage: Stage) -> None:
    stage.record_run(1)
    alice, stranger = stage.enlist("alice", "approver"), make_key(stage.root / "stranger.pem")
    forged = {
        forge(stage, stranger, "bob"): "signed by no trusted key",
        forge(stage, alice, "bob"): "it speaks for bob, and its key is that of alice",
        forge(stage, alice, "alice", verdict="reject"): "what was signed is something else",
        forge(stage, alice, "alice", model_sha256=sha(2)): "what was signed is something else",
        forge(stage, alice, "alice", body={"envelope": {"payload": "e30=", "signatures": []}}): "another payload",
    }
    found = count(stage)
    assert found.granted == () and found.rejected == ()
    for (number, why), refused in zip(forged.items(), found.refused, strict=True):
        assert f"entry {number}" in refused and why in refused
    intent = PromotionIntended(
        promotion="p",
        name=NAME,
        version="1",
        model_sha256=sha(1),
        from_version=None,
        from_sha256=None,
        cause="approved",
        reason="",
        approvals=tuple(forged)[:2],
    )
    problems = complaints(stage.ledger.entries(), intent, TWO)
    assert problems[0] == "approvals that do not count: entries " + ", ".join(map(str, list(forged)[:2]))
    assert "it names 1 of 2 approvals" in complaints(
        stage.ledger.entries(), intent.model_copy(update={"approvals": (1,)}), TWO
    )


def test_an_old_approval_recorded_again_lifts_no_rejection(stage: Stage) -> None:
    stage.record_run(1)
    alice = stage.enlist("alice", "approver")
    approved = stage.ledger.entry(say(stage, alice, "alice"))
    say(stage, alice, "alice", "reject")
    stage.ledger.append(body_of(approved, ApprovalRecorded), "eve")
    found = count(stage)
    assert found.rejected == ("alice rejects it: seen and fit",)
    assert "an older statement, recorded again" in found.refused[0]


def test_a_policy_is_read_from_a_runs_params() -> None:
    assert read_policy("promotion: {approvals: 2}", "p") == PromotionPolicy(approvals=2, separate_duties=True)
    assert read_policy("seed: 7", "p") == PromotionPolicy(approvals=0)
    with pytest.raises(ParamsError, match="p: promotion: 1 wrong key"):
        read_policy("promotion: {approvals: -1}", "p")
    for text in ("a: [", "- a"):
        with pytest.raises(ParamsError, match="p: not"):
            read_policy(text, "p")


def test_the_judgement_needs_no_mlflow() -> None:
    code = "import sys, flows.promotion.approvals; sys.exit('mlflow' in sys.modules or 'prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
