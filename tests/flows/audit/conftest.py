"""One history for the questions that an auditor asks, and copies of it that a test may go on with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.audit.books import Books, open_books
from tests.flows.copied import copied
from tests.flows.history import History, make_history


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Three runs: promoted, refused, promoted. No test may change it."""
    made = make_history(tmp_path_factory.mktemp("asked"))
    yield made
    made.ledger.close()


@pytest.fixture(scope="session")
def books(past: History) -> Iterator[Books]:
    """The books of that history, now."""
    with open_books(past.state, past.root) as found:
        yield found


@pytest.fixture
def made(past: History, tmp_path: Path) -> Iterator[History]:
    """A copy of that history to go on with."""
    copy = copied(past, tmp_path)
    yield copy
    copy.ledger.close()
