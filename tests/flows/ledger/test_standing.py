"""What stands is folded from the entries alone, as of any moment."""

import pytest

from evaluation.base import Record
from flows.ledger.bodies import (
    KIND_OF,
    ApprovalRecorded,
    ChampionFlagged,
    DataRecalled,
    DataReinstated,
    ModelRegistered,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
)
from flows.ledger.entry import Entry, next_entry
from flows.ledger.standing import (
    approvals,
    champions,
    flags,
    history,
    open_intents,
    recalled,
    registered,
    standing_flags,
)
from worldmodel.errors import LedgerError


def entries(*bodies: Record) -> list[Entry]:
    found: list[Entry] = []
    for number, body in enumerate(bodies):
        last = found[-1] if found else None
        moment = f"2026-01-31T12:00:{number:02d}.000000Z"
        found.append(next_entry(last, moment, f"actor-{number}", KIND_OF[type(body)], body.model_dump(mode="json")))
    return found


def intent(promotion: str, name: str, version: str) -> PromotionIntended:
    facts = {"model_sha256": version * 64, "from_version": None, "from_sha256": None, "cause": "gate", "reason": "won"}
    return PromotionIntended.model_validate({"promotion": promotion, "name": name, "version": version, **facts})


def done(promotion: str, name: str) -> PromotionCompleted:
    return PromotionCompleted(promotion=promotion, name=name, by="promoter")


MOVES = entries(
    intent("p1", "toy", "1"),  # 1
    done("p1", "toy"),
    intent("p2", "other", "7"),  # 3, while p3 is on its way
    intent("p3", "toy", "2"),
    done("p2", "other"),
    PromotionAbandoned(promotion="p3", name="toy", why="the alias had moved"),
    intent("p4", "toy", "3"),  # 7
    done("p4", "toy"),
    intent("p5", "other", "8"),  # 9
    done("unknown", "toy"),
)


def test_only_completed_promotions_make_champions() -> None:
    found = champions(MOVES)
    assert {name: (s.version, s.sequence, s.by) for name, s in found.items()} == {
        "toy": ("3", 8, "actor-6"),
        "other": ("7", 5, "actor-2"),
    }
    assert found["toy"].since == MOVES[7].time and found["toy"].intent.promotion == "p4"


def test_history_is_of_one_model_oldest_first() -> None:
    assert [(s.version, s.sequence) for s in history(MOVES, "toy")] == [("1", 2), ("3", 8)]
    assert history(MOVES, "nobody") == []


def test_every_moment_had_its_champion() -> None:
    versions = [champions(MOVES[:n]).get("toy") for n in range(len(MOVES) + 1)]
    assert [s.version if s else None for s in versions] == [None, None, *["1"] * 6, *["3"] * 3]


def test_intents_stay_open_until_completed_or_abandoned() -> None:
    assert [(e.sequence, i.promotion) for e, i in open_intents(MOVES)] == [(9, "p5")]
    assert [i.promotion for _, i in open_intents(MOVES[:4])] == ["p2", "p3"]
    assert [i.promotion for _, i in open_intents(MOVES[:4], "toy")] == ["p3"]


def test_registered_versions_are_found_by_name_and_number() -> None:
    bodies = [
        ModelRegistered(name="toy", version=v, model_sha256=v * 64, run_id=f"run-{v}", parts={}) for v in ("1", "2")
    ]
    found = registered(entries(*bodies))
    assert {key: body.run_id for key, body in found.items()} == {("toy", "1"): "run-1", ("toy", "2"): "run-2"}


def test_a_recall_stands_until_it_is_taken_back() -> None:
    log, clip = DataRecalled(what="log", id="a", reason="consent"), DataRecalled(what="clip", id="a", reason="blur")
    found = recalled(entries(log, clip, DataReinstated(what="log", id="a", reason="a mistake")))
    assert list(found) == [("clip", "a")]
    assert (found["clip", "a"].reason, found["clip", "a"].sequence, found["clip", "a"].actor) == ("blur", 2, "actor-1")
    again = recalled(entries(log, DataReinstated(what="log", id="a", reason="a mistake"), log))
    assert again["log", "a"].sequence == 3


def test_flags_and_approvals_are_found_by_model() -> None:
    flag = ChampionFlagged(name="toy", version="1", model_sha256="1" * 64, recalled="log a", splits={"train": 3})
    said = {"model": "toy", "approver": "ann", "reason": "ok", "keyid": "k", "envelope": {}}
    ours = ApprovalRecorded.model_validate({**said, "model_sha256": "1" * 64, "verdict": "approve"})
    theirs = ApprovalRecorded.model_validate({**said, "model_sha256": "2" * 64, "verdict": "reject"})
    found = entries(flag, theirs, flag, ours)
    assert flags(found) == {"1" * 64: [flag, flag]}
    assert [(entry.sequence, body.verdict) for entry, body in approvals(found, "1" * 64)] == [(4, "approve")]


def test_a_flag_stands_as_long_as_its_recall() -> None:
    log, back = DataRecalled(what="log", id="a", reason="consent"), DataReinstated(what="log", id="a", reason="a slip")
    clip = DataRecalled(what="clip", id="a", reason="blur")
    ours, again, theirs = (
        ChampionFlagged(name="toy", version=v, model_sha256=v * 64, recalled="log a", splits={split: 3})
        for v, split in (("1", "train"), ("1", "test"), ("2", "train"))
    )
    found = entries(log, ours, theirs, back, clip, log, again)
    moments = [standing_flags(found[:n]) for n in range(len(found) + 1)]
    assert moments[2:4] == [{"1" * 64: [ours]}, {"1" * 64: [ours], "2" * 64: [theirs]}]
    assert moments[0] == moments[4] == moments[5] == {}  # the clip of that name is something else
    assert moments[7] == {"1" * 64: [again], "2" * 64: [theirs]}  # one a recall, the newest


def test_bodies_that_a_pack_left_out_are_passed_over() -> None:
    left_out = [e.model_copy(update={"body": None}) if e.sequence > 2 else e for e in MOVES]
    assert [s.version for s in champions(left_out).values()] == ["1"]
    assert open_intents(left_out) == [] and recalled(left_out) == {}


def test_a_body_that_is_not_what_its_kind_says_is_named() -> None:
    odd = MOVES[0].model_copy(update={"body": {"promotion": "p1", "newer": 1}})
    with pytest.raises(LedgerError, match=r"entry 1 .*promotion\.intended") as caught:
        champions([odd])
    assert "version: Field required" in caught.value.got
