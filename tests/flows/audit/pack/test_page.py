"""Pages of models that were refused, that lack something, or whose names are hostile."""

import pytest

from flows.audit.cards.model_card import model_card
from flows.audit.cards.subject import subject_of
from flows.audit.pack.page import Contents, page, readme
from tests.flows.audit.pack.conftest import Packed
from tests.flows.history import MODEL


@pytest.fixture(scope="module")
def contents(packed: Packed) -> Contents:
    made = packed.history
    entries = list(made.ledger.entries())
    card = model_card(subject_of(made.records, entries, MODEL, "2"))
    return Contents(card, {"cards/model-card.md": 12_345, "records/blobs/aa/b": 1}, ("one",), entries)


def test_a_refused_model_is_shown_as_refused_with_the_rules_open(contents: Contents) -> None:
    text = page(contents)
    assert '<span class="badge bad">refused</span>' in text
    assert "<details open>" in text
    assert "never was champion" in text


def test_a_model_without_report_data_or_decision_has_a_page(contents: Contents) -> None:
    nothing = {"evaluation": None, "data": None, "decision": None, "training": (), "history": ()}
    text = page(Contents(contents.card.model_copy(update=nothing), contents.files, (), ()))
    assert "Nothing was measured." in text
    assert "The gate decided nothing about it." in text


def test_hostile_words_stay_words_wherever_they_stand(contents: Contents) -> None:
    hostile = '"><img src=x onerror=alert(1)>\u202e'
    model = contents.card.model.model_copy(update={"name": hostile})
    run = contents.card.run.model_copy(update={"actor": hostile, "profile": hostile, "status": hostile})
    text = page(Contents(contents.card.model_copy(update={"model": model, "run": run}), contents.files, (hostile,), ()))
    assert "<img" not in text
    assert "\u202e" not in text
    assert text.count("&#34;&gt;&lt;img") >= 4


def test_equal_contents_give_equal_pages(contents: Contents) -> None:
    assert page(contents) == page(contents)
    assert readme(contents) == readme(contents)


def test_the_readme_says_what_is_not_there(contents: Contents) -> None:
    assert "The weights are not here" in readme(contents)
    with_weights = Contents(contents.card, {"weights/artifacts/a/b": 1}, contents.runs, contents.entries)
    assert "The weights are not here" not in readme(with_weights)
