"""Which validations ran on data, and what the gate made of them."""

import pytest

from flows.audit.books import Books, open_books
from flows.audit.impact import impact
from flows.audit.validations import validations
from tests.flows.audit.going_on import add_failed
from tests.flows.history import BETTER, History, add_run
from worldmodel.errors import RecordError


def test_a_model_tells_the_verdict_on_its_data_expectation_by_expectation(past: History, books: Books) -> None:
    answer = validations(books, "toy/3")
    (found,) = answer.validations
    assert (found.fit, found.suite_version, found.suites) == (True, 2, {"manifest": "f" * 64})
    assert (found.n_clips, found.n_decoded, found.limits) == (8, 2, {"steps": 3})
    (expectation,) = found.expectations
    assert (expectation.check, expectation.column, expectation.asked) == ("ids are unique", "clip_id", {})
    assert (expectation.success, expectation.checked, expectation.unexpected) == (True, 8, 0)
    assert (answer.without, answer.overridden) == ((), ())


def test_runs_that_went_on_with_a_verdict_are_told_with_the_gates_rule(past: History, books: Books) -> None:
    (found,) = validations(books, "toy/1").validations
    told = [(run.run_id, run.status, run.gate, run.rule and run.rule.verdict) for run in found.runs]
    assert told == [
        (past.runs[0].run_id, "promoted", "promote", "pass"),
        (past.runs[1].run_id, "refused", "refuse", "pass"),
    ]


def test_a_source_a_log_a_run_and_a_digest_lead_to_the_same_validations(past: History, books: Books) -> None:
    by_source = [found.prepared for found in validations(books, "drives").validations]
    assert len(by_source) == 2
    third = impact(books, "log-e").prepared[0].output
    called = (past.runs[2].run_id, third, third[:10], validations(books, "toy/3").validations[0].output, "toy@champion")
    for what in called:
        assert third in [found.prepared for found in validations(books, what).validations], what
    assert {found.prepared for found in validations(books, "log-b").validations} == set(by_source)
    assert [found.prepared for found in validations(books, "log-e").validations] == [third]


def test_a_run_that_failed_without_a_verdict_is_told(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = add_failed(made, monkeypatch)
    with open_books(made.state) as books:
        answer = validations(books, "toy/3")
    assert [(run.run_id, run.status) for run in answer.without] == [(failed, "failed")]


def test_unfit_data_that_passed_the_gate_are_a_breach(made: History) -> None:
    run = add_run(made, "one", ("log-a", "log-c", "log-d"), BETTER, turn=4, fit=False)
    with open_books(made.state) as books:
        answer = validations(books, run.run_id)
    (found,) = answer.validations
    assert (found.fit, found.expectations[0].unexpected) == (False, 3)
    assert answer.overridden == (run.run_id,)


def test_as_of_a_time_later_runs_are_not_told(past: History) -> None:
    with open_books(past.state, at=past.after[0]) as books:
        (found,) = validations(books, "drives").validations
        assert [run.run_id for run in found.runs] == [past.runs[0].run_id]


def test_what_nothing_is_called_is_refused(books: Books) -> None:
    with pytest.raises(RecordError, match="nothing in the lineage index is called nothing"):
        validations(books, "nothing")
