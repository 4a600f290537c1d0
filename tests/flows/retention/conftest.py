"""Three recorded runs whose workspaces are worktrees of the test's own checkout."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.history import History, make_history
from tests.flows.retention.states import with_workspaces


@pytest.fixture(scope="package")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A history that no test may change."""
    made = make_history(tmp_path_factory.mktemp("past"))
    made.ledger.close()
    return made


@pytest.fixture
def made(past: History, tmp_path: Path) -> Iterator[History]:
    """A copy of it for one test."""
    made = with_workspaces(past, tmp_path / "checkout")
    yield made
    made.ledger.close()
