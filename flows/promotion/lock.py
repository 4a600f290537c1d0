"""The ledger's lock of one model: its versions are registered, approved and promoted one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.ledger.store import Ledger

TIMEOUT_S = 300.0  # registering uploads a model


@contextmanager
def model_lock(ledger: "Ledger", name: str) -> Iterator[None]:
    """Holds the lock of the model `name`; not to be entered twice.

    Raises:
        LedgerError: the ledger does not answer, or somebody else held the lock all the time.
    """
    with ledger.lock(f"model {name}", TIMEOUT_S):
        yield
