"""What the tests run in processes of their own."""

import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

from flows.ledger.bodies import ClockBehind
from flows.ledger.store import Ledger


def append_many(url: str, together: Barrier, name: str, count: int) -> None:
    """Opens the store at the same time as others, and appends."""
    together.wait(60)
    ledger = Ledger.open(url)
    for number in range(count):
        ledger.append(ClockBehind(observed=f"{name} {number}"), name)
    ledger.close()


def hold_lock(url: str, held: Path) -> None:
    """Takes a lock, says so, and keeps it."""
    with Ledger.open(url).lock("promote/toy"):
        held.touch()
        time.sleep(120)
