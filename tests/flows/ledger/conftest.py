"""Ledgers on both kinds of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.ledger.store import Ledger
from flows.signing.keys import SigningKey, make_key
from tests.flows.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that is not there yet, of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger on SQLite."""
    found = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield found
    found.close()


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """A key that no ledger knows yet."""
    return make_key(tmp_path / "keys" / "signing.pem")
