"""One history for all of these tests, and a copy that is made good after each test that tampers with it."""

import dataclasses
from collections.abc import Iterator

import pytest

from tests.flows.audit.verify.tampering import copied, restore
from tests.flows.history import History, make_history


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A history that no test may change."""
    return make_history(tmp_path_factory.mktemp("pristine"))


@pytest.fixture(scope="session")
def copy(pristine: History, tmp_path_factory: pytest.TempPathFactory) -> History:
    """A copy of it, for `history` alone."""
    return copied(pristine, tmp_path_factory.mktemp("copy"))


@pytest.fixture
def history(pristine: History, copy: History) -> Iterator[History]:
    """A history that the test may change: put right again after it."""
    yield dataclasses.replace(copy)
    copy.ledger.close()
    restore(copy.root, pristine.root)
