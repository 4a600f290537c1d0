"""A registry and a ledger for every test, copied from one that was made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.postgres import postgres_server, postgres_url
from tests.flows.promotion.stage import Stage, make_registry, make_stage

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def registry_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with fifty versions of a model."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    make_registry(path, 50)
    return path


@pytest.fixture
def stage(tmp_path: Path, registry_file: Path) -> Iterator[Stage]:
    """A registry with fifty versions, and a ledger that knows six of them."""
    made = make_stage(tmp_path, registry_file)
    made.know(range(1, 7))
    yield made
    made.ledger.close()
