"""Who is champion, from the ledger alone."""

import pytest

from flows.audit.books import Books, open_books
from flows.audit.champion import ChampionOf, champion
from flows.ledger.bodies import (
    AliasObserved,
    ApprovalRecorded,
    ChampionFlagged,
    DataRecalled,
    DataReinstated,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
)
from tests.flows.history import ACTOR, History
from worldmodel.errors import RecordError


def asked(made: History, at: str | None = None) -> ChampionOf:
    with open_books(made.state, at=at) as books:
        (found,) = champion(books, "toy").models
    return found


def intend(made: History, promotion: str, version: int, cause: str = "rollback", **more: object) -> None:
    model, before = made.runs[version - 1].model, made.runs[2].model
    values = {"cause": cause, "reason": "it fell over", "run_id": made.runs[version - 1].run_id, **more}
    body = PromotionIntended.model_validate(
        {
            "promotion": promotion,
            "name": "toy",
            "version": str(version),
            "model_sha256": model["sha256"],
            "from_version": before["version"],
            "from_sha256": before["sha256"],
            **values,
        }
    )
    made.ledger.append(body, "ada")


def test_the_champion_is_told_with_the_evidence_it_was_promoted_on(past: History, books: Books) -> None:
    answer = champion(books)
    (found,) = answer.models
    run = past.runs[2]
    assert answer.at is None and found.now is not None and found.now == found.reigns[-1]
    now = found.now
    assert (now.version, now.model_sha256, now.from_version) == ("3", run.model["sha256"], "1")
    assert (now.actor, now.cause, now.run_id, now.completed_by) == (ACTOR, "gate", run.run_id, "promoter")
    assert now.completed == now.intended + 1
    assert now.decision is not None and now.decision.sha256 == now.decision_sha256
    assert (now.decision.verdict, now.decision.n_rules, now.decision.stopped) == ("promote", 17, ())
    assert now.reason == now.decision.summary == "promoted: all 17 rules pass"


def test_reigns_follow_each_other_without_the_refused_version(books: Books) -> None:
    (found,) = champion(books).models
    first, second = found.reigns
    assert (first.version, second.version) == ("1", "3")
    assert first.until == second.since and second.until is None and first.from_version is None


def test_as_of_a_time_the_champion_is_the_one_of_then(past: History) -> None:
    then = asked(past, past.after[1])
    assert then.now is not None and (then.now.version, then.now.until) == ("1", None)
    with open_books(past.state, at="2001-01-01") as books:
        assert champion(books).models == ()
        with pytest.raises(RecordError, match=r"toy: no model of that name was registered(.|\n)*none yet"):
            champion(books, "toy")


def test_a_roll_back_is_a_reign_of_its_own_and_borrows_no_decision(made: History) -> None:
    intend(made, "back", 1)
    made.ledger.append(PromotionCompleted(promotion="back", name="toy", by="reconciler"), "daemon")
    found = asked(made)
    assert [reign.version for reign in found.reigns] == ["1", "3", "1"]
    assert found.now is not None and found.reigns[1].until == found.now.since
    assert (found.now.actor, found.now.cause, found.now.completed_by) == ("ada", "rollback", "reconciler")
    assert found.now.decision is None and found.now.decision_sha256 is None


def test_an_intent_moves_nobody_until_it_is_completed_and_stays_open(made: History) -> None:
    intend(made, "half", 1)
    found = asked(made)
    assert found.now is not None and found.now.version == "3"
    assert [(one.version, one.from_version, one.actor) for one in found.open_intents] == [("1", "3", "ada")]
    made.ledger.append(PromotionAbandoned(promotion="half", name="toy", why="crashed"), "ada")
    assert asked(made).open_intents == ()


def test_an_alias_that_was_moved_by_hand_is_a_warning_until_the_next_promotion(made: History) -> None:
    body = AliasObserved(name="toy", recorded_version="3", found_version="2", found_sha256=None)
    made.ledger.append(body, "daemon")
    found = asked(made)
    assert found.now is not None and found.now.version == "3"
    assert [one.sentence for one in found.observed] == [
        "the registry's alias stood at version 2, and the ledger says version 3: moved by no recorded promotion"
    ]
    intend(made, "back", 1)
    made.ledger.append(PromotionCompleted(promotion="back", name="toy", by="promoter"), "ada")
    assert asked(made).observed == ()


def test_only_the_approvals_that_a_promotion_counted_are_its_own(made: History) -> None:
    sha256 = made.runs[0].model["sha256"]
    entries = [
        made.ledger.append(
            ApprovalRecorded(
                model="toy",
                model_sha256=sha256,
                approver=who,
                verdict="approve",
                reason="seen it drive",
                keyid="k",
                envelope={},
            ),
            who,
        )
        for who in ("ada", "bob")
    ]
    intend(made, "back", 1, approvals=(entries[1].sequence,))
    made.ledger.append(PromotionCompleted(promotion="back", name="toy", by="promoter"), "ada")
    now = asked(made).now
    assert now is not None and [(a.approver, a.sequence) for a in now.approvals] == [("bob", entries[1].sequence)]


def test_a_flag_stays_with_the_model_that_has_seen_recalled_data(made: History) -> None:
    sha256 = made.runs[2].model["sha256"]
    body = ChampionFlagged(name="toy", version="3", model_sha256=sha256, recalled="log log-b", splits={"train": 2})
    made.ledger.append_all([DataRecalled(what="log", id="log-b", reason="consent"), body], "ada")
    first, second = asked(made).reigns
    assert first.flags == ()
    assert [(flag.recalled, flag.splits, flag.stands) for flag in second.flags] == [("log log-b", {"train": 2}, True)]


def test_a_flag_is_history_once_its_recall_was_taken_back_and_stands_as_of_before(made: History) -> None:
    sha256 = made.runs[2].model["sha256"]
    flag = ChampionFlagged(name="toy", version="3", model_sha256=sha256, recalled="log log-b", splits={"train": 2})
    recall = DataRecalled(what="log", id="log-b", reason="consent")
    flagged = made.ledger.append_all([recall, flag], "ada")[-1]
    made.ledger.append(DataReinstated(what="log", id="log-b", reason="consent again"), "ada")

    def stands(at: str | None = None) -> list[bool]:
        now = asked(made, at).now
        return [] if now is None else [found.stands for found in now.flags]

    assert (stands(flagged.time), stands()) == ([True], [False])
    made.ledger.append_all([recall, flag], "ada")
    assert stands() == [False, True]


def test_a_name_that_nobody_registered_is_refused_with_those_there_are(books: Books) -> None:
    with pytest.raises(RecordError, match=r"nobody: no model of that name(.|\n)*expected: toy"):
        champion(books, "nobody")
