"""One history for all tests of cards, and the subject of its champion."""

from collections.abc import Iterator

import pytest

from flows.audit.cards.model_card import model_card
from flows.audit.cards.schema import ModelCard
from flows.audit.cards.subject import Subject, subject_of
from flows.ledger.bodies import DataRecalled
from tests.flows.history import MODEL, History, make_history

REASON = "consent <b>withdrawn</b> | [x](http://evil) `y`"


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """A history with a log recalled that the champion has seen; no test may change it."""
    made = make_history(tmp_path_factory.mktemp("told"))
    made.ledger.append(DataRecalled(what="log", id="log-b", reason=REASON), "root")
    made.ledger.append(DataRecalled(what="log", id="log-elsewhere", reason="no business of it"), "root")
    yield made
    made.ledger.close()


@pytest.fixture(scope="session")
def subject(told: History) -> Subject:
    """The champion, version 3."""
    return subject_of(told.records, list(told.ledger.entries()), MODEL, "3")


@pytest.fixture(scope="session")
def card(subject: Subject) -> ModelCard:
    """Its card."""
    return model_card(subject)
