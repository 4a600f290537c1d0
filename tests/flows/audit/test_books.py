"""Opening the books, and what people call a model."""

from pathlib import Path

import pytest

from flows.audit.books import Books, find_model, open_books
from flows.ledger.bodies import ModelRegistered, RunRecorded
from flows.ledger.store import Ledger, ledger_url
from tests.flows.history import History
from worldmodel.errors import ParamsError, RecordError


def test_a_model_is_found_by_all_that_people_call_it(past: History, books: Books) -> None:
    first, second, third = (run.model for run in past.runs)
    called = {
        "toy": "3",
        "toy@champion": "3",
        "toy/2": "2",
        first["sha256"]: "1",
        second["sha256"][:8]: "2",
        second["parts"]["worldgen"][:12]: "2",
        third["parts"]["worldrec"]: "3",
        past.runs[1].run_id: "2",
        past.runs[0].run_id[-8:]: "1",
    }
    assert {spec: find_model(books, spec).version for spec in called} == called
    assert find_model(books, "toy").model_sha256 == third["sha256"]


def test_as_of_a_time_a_name_is_the_champion_of_then(past: History) -> None:
    with open_books(past.state, at=past.after[1]) as then:
        assert find_model(then, "toy").version == "1"
        assert {entry.time <= past.after[1] for entry in then.entries()} == {True}
        with pytest.raises(RecordError, match=r"toy/3: no such version(.|\n)*1 or 2"):
            find_model(then, "toy/3")


def test_a_model_that_never_served_is_its_newest_version(made: History) -> None:
    for version in ("2", "10", "9"):
        body = ModelRegistered(name="other", version=version, model_sha256=version * 32, run_id="r", parts={})
        made.ledger.append(body, "me")
    with open_books(made.state) as books:
        assert find_model(books, "other").version == "10"
        with pytest.raises(RecordError, match="other has no champion then"):
            find_model(books, "other@champion")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("toy/9", r"no such version(.|\n)*1 or 2 or 3"),
        ("toy@challenger", r"no alias challenger is recorded(.|\n)*toy@champion"),
        ("nobody", r"no model, version, run or digest is called that(.|\n)*expected: toy"),
        ("nobody/3", r"no model, version, run or digest is called that"),
        ("abc", r"no model, version, run or digest"),
        ("no such: thing", r"no model, version, run or digest"),
    ],
)
def test_what_nothing_is_called_is_refused_with_what_there_is(books: Books, spec: str, told: str) -> None:
    with pytest.raises(RecordError, match=told):
        find_model(books, spec)


def test_weights_of_several_models_name_all_of_them(past: History, books: Books) -> None:
    tokenizer = past.runs[0].model["parts"]["tokenizer"]
    assert tokenizer == past.runs[1].model["parts"]["tokenizer"]
    with pytest.raises(RecordError, match=r"more than one model is meant(.|\n)*toy version 1 .*toy version 2 "):
        find_model(books, tokenizer[:8])


def test_a_run_without_a_model_says_how_it_ended(made: History) -> None:
    body = RunRecorded(run_id="20300101-zz", statement_sha256="", keyid="", status="failed", snapshot="", dirty=False)
    made.ledger.append(body, "me")
    with open_books(made.state) as books, pytest.raises(RecordError, match=r"registered no model(.|\n)*\(failed\)"):
        find_model(books, "20300101-zz")


def test_where_nothing_is_recorded_the_way_out_is_to_run_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"nothing is recorded yet(.|\n)*worldmodel run"), open_books(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
    Ledger.open(ledger_url(tmp_path)).close()
    with pytest.raises(RecordError, match="nothing is recorded yet"), open_books(tmp_path):
        pass


def test_a_time_that_is_none_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="'yesterday' is not a moment"), open_books(tmp_path, at="yesterday"):
        pass


def test_an_index_that_is_behind_catches_up_and_says_so(made: History) -> None:
    said: list[str] = []
    with open_books(made.state, say=said.append) as books:
        assert books.index.counts().runs == 3
    assert said == ["the lineage index is 3 runs behind the records: adding them"]
    with open_books(made.state, say=said.append):
        assert len(said) == 1
