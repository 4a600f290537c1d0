"""Whom the gate refused, and how its limits changed."""

import pytest

from flows.audit.books import Books, open_books
from flows.audit.keys import Change, limit_keys
from flows.audit.rejected import Rejected, rejected
from tests.evaluation import gating
from tests.flows.history import BAD, History, add_run
from worldmodel.errors import RecordError


def asked(made: History) -> Rejected:
    with open_books(made.state) as books:
        return rejected(books)


def test_a_refused_candidate_is_told_with_what_was_asked_and_seen(past: History, books: Books) -> None:
    answer = rejected(books, "toy")
    assert answer.decided == {"promote": 2, "refuse": 1}
    (found,) = answer.refused
    run = past.runs[1]
    assert (found.run_id, found.name, found.version, found.model_sha256) == (
        run.run_id,
        "toy",
        "2",
        run.model["sha256"],
    )
    psnr, champion = found.rules
    assert (psnr.id, psnr.verdict, psnr.observed, psnr.limit, psnr.unit) == (
        "absolute/synthetic/image/psnr/min",
        "fail",
        12.0,
        18.0,
        "dB",
    )
    assert (champion.observed, champion.limit) == (-9.0, -0.5)


def test_limits_that_never_changed_have_no_history(books: Books) -> None:
    assert rejected(books).limits == ()


def test_a_limit_that_was_lowered_is_told_with_the_run_that_passed_by_it(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = [{**gating.LIMITS["absolute"][0], "min": 11.0}, gating.LIMITS["absolute"][1]]
    with monkeypatch.context() as during:
        during.setitem(gating.LIMITS, "absolute", lowered)
        run = add_run(made, "one", ("log-b", "log-c", "log-d"), BAD, turn=4)
    (found,) = asked(made).limits
    assert (found.run_id, found.before_run, found.profile) == (run.run_id, made.runs[2].run_id, "tiny")
    assert found.changes == (Change(key="absolute.synthetic/image/psnr.min", before=18.0, after=11.0),)
    assert found.verdict == "refuse"


def test_limits_are_known_by_what_they_are_about_wherever_they_stand() -> None:
    psnr = {"source": None, "metric": "image/psnr", "region": "all", "method": None, "max_drop": 0.1, "judge": "value"}
    night = {"source": "s", "slice": "light=night", "metric": "image/psnr", "min": 16.0, "max": None, "min_clips": 4}
    limits = {"protocol": "tiny", "against_champion": [psnr], "slices": [night], "generation": []}
    assert limit_keys(limits) == {
        "protocol": "tiny",
        "against_champion.*/image/psnr.max_drop": 0.1,
        "against_champion.*/image/psnr.max_drop.judge": "value",
        "slices.s/image/psnr/light=night.min": 16.0,
        "slices.s/image/psnr/light=night.min.min_clips": 4,
        "generation": [],
    }
    assert limit_keys({"slices": [night, psnr]}) == limit_keys({"slices": [psnr, night]})


def test_as_of_a_time_later_refusals_are_not_told(past: History) -> None:
    with open_books(past.state, at=past.after[0]) as books:
        answer = rejected(books)
    assert (answer.decided, answer.refused) == ({"promote": 1}, ())


def test_a_decision_that_is_gone_is_named_and_not_passed_over(made: History) -> None:
    run = made.records.run(made.runs[1].run_id)
    made.records.path(run.files["decision.json"]).unlink()
    with pytest.raises(RecordError, match=rf"decision.json of run {run.run_id} is gone"):
        asked(made)


def test_a_name_that_nobody_registered_is_refused(books: Books) -> None:
    with pytest.raises(RecordError, match="nobody: no model of that name was registered"):
        rejected(books, "nobody")
