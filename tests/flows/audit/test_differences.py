"""What differs between two models or runs."""

from functools import partial

import pytest

from flows.audit.books import Books, open_books
from flows.audit.differences import Differences, differences
from flows.audit.keys import Change, changes, dotted
from tests.evaluation import gating
from tests.flows.audit.going_on import add_pupil
from tests.flows.history import GOOD, History, add_run
from worldmodel.errors import RecordError


def asked(made: History, a: str, b: str) -> Differences:
    with open_books(made.state, made.root) as books:
        return differences(books, a, b)


def test_other_data_are_told_log_by_log(past: History, books: Books) -> None:
    found = differences(books, "toy/1", "toy/3")
    assert (found.a.run_id, found.b.run_id) == (past.runs[0].run_id, past.runs[2].run_id)
    assert (found.data.added, found.data.removed, found.data.moved) == ({"log-e": "train"}, {"log-a": "train"}, {})
    assert found.data.n_clips == (8, 8) and found.data.sources == ()
    assert {change.key for change in found.weights} == {"tokenizer", "worldgen", "worldrec"}
    assert found.params == ()


def test_a_log_that_went_to_another_split_is_told_as_moved(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    add_pupil(made, monkeypatch)
    found = asked(made, "toy/3", "toy/4")
    assert found.data.moved == {"log-b": ("train", "test")}


def test_params_are_told_by_dotted_key_from_and_to(past: History, books: Books) -> None:
    found = differences(books, "toy/1", "toy/2")
    assert found.params == (Change(key="worldgen_dmd.flavour", before="one", after="two"),)
    parts = [run.model["parts"]["worldgen"] for run in past.runs[:2]]
    assert found.weights == (Change(key="worldgen", before=parts[0], after=parts[1]),)
    assert (found.environment, found.packages) == ((), ())


def test_numbers_that_share_an_id_are_told_with_their_difference(books: Books) -> None:
    found = differences(books, "toy/1", "toy/2").metrics
    values = {value.key: (value.before, value.after, value.difference) for value in found.values}
    assert values == {"synthetic/test/image/psnr": (21, 12, -9), "synthetic/test/depth/rmse": (3, 3, 0)}
    assert found.comparable and found.why is None


def test_numbers_of_other_data_are_told_as_not_comparable(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as during:
        during.setattr(gating, "report", partial(gating.report, data="e" * 64))
        during.setattr(gating, "compare", lambda *_: None)
        add_run(made, "one", ("log-b", "log-c", "log-d"), GOOD, turn=4)
    found = asked(made, "toy/1", "toy/4").metrics
    assert not found.comparable
    assert found.why == f"other data were measured: {'d' * 16} and {'e' * 16}"
    assert len(found.values) == 2


def test_numbers_under_other_protocols_name_the_keys(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as during:
        during.setattr(gating, "report", partial(gating.report, extractors=()))
        during.setattr(gating, "compare", lambda *_: None)
        add_run(made, "one", ("log-b", "log-c", "log-d"), GOOD, turn=4)
    assert asked(made, "toy/1", "toy/4").metrics.why == "other protocols: extractors"


def test_decisions_are_told_rule_by_rule(books: Books) -> None:
    found = differences(books, "toy/1", "toy/2")
    assert [decision and decision.verdict for decision in found.decisions] == ["promote", "refuse"]
    verdicts = {change.key: (change.before, change.after) for change in found.rules}
    assert verdicts["absolute/synthetic/image/psnr/min"] == ("pass", "fail")


def test_code_is_told_by_file_where_the_checkout_has_both_commits(past: History, books: Books) -> None:
    files = {file.path: (file.added, file.removed) for file in differences(books, "toy/1", "toy/2").code.files or ()}
    assert files == {"data/sources.json": (1, 1), "params.yaml": (1, 1)}
    with open_books(past.state) as elsewhere:
        code = differences(elsewhere, "toy/1", "toy/2").code
    assert (code.same, code.files, code.why) == (False, None, "there is no checkout here")
    assert differences(books, "toy/1", "toy/1").code.same


def test_a_checkout_without_the_commits_says_so(past: History, tmp_path_factory: pytest.TempPathFactory) -> None:
    from flows.git import git

    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    with open_books(past.state, other) as books:
        code = differences(books, "toy/1", "toy/2").code
    assert code.files is None and code.why is not None
    assert code.why.startswith("the checkout does not have both commits")


def test_runs_are_compared_by_their_ids_and_name_their_models(past: History, books: Books) -> None:
    found = differences(books, past.runs[0].run_id, past.runs[1].run_id[-8:])
    assert found.a.model is not None and found.a.model.version == "1"
    assert found.b.model is not None and (found.b.model.version, found.b.status) == ("2", "refused")


def test_the_start_of_several_runs_is_refused_with_their_ids(past: History, books: Books) -> None:
    with pytest.raises(RecordError, match=rf"more than one run is meant(.|\n)*{past.runs[0].run_id}"):
        differences(books, past.runs[0].run_id[:6], "toy")


def test_dotted_keys_tell_a_null_from_a_list_and_true_from_one() -> None:
    before, after = dotted({"a": {"b": 1, "c": [1, 2]}, "d": {}}), dotted({"a": {"b": True, "c": [1, 2]}, "e": 0.5})
    assert changes(before, after) == (
        Change(key="a.b", before=1, after=True),
        Change(key="d", before={}, after=None),
        Change(key="e", before=None, after=0.5),
    )
