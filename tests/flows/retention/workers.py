"""What other processes of these tests do: a sweep that is killed at some point."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from flows.ledger.store import Ledger, ledger_url
from flows.lineage.records import Records
from flows.retention import sweep as module
from flows.retention.plan import make_plan
from flows.retention.rule import Place, Rule
from flows.signing.keys import load_key

POINTS = ("before the tombstones", "after the tombstones", "while moving", "while deleting", "before the anchor")


def die(*arguments: Any, **keywords: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _arm(point: str) -> None:
    """Has the sweep killed at a point."""
    if point == "before the tombstones":
        module._bury = die
    elif point == "after the tombstones":
        module._move_aside = die
    elif point == "while moving":
        moves, move = iter(range(100)), module._move
        module._move = lambda path, to: die() if next(moves) == 3 else move(path, to)
    elif point == "while deleting":
        empties, empty, rmtree = iter(range(100)), module._empty_asides, shutil.rmtree

        def half(state: Path) -> None:
            if next(empties):
                rmtree(state / "workspaces" / ".deleted")
                die()
            empty(state)

        module._empty_asides = half
    else:
        module.anchor = die


def main(checkout: Path, key: Path, now: float, point: str) -> None:
    """Sweeps what `Rule(1, drop_refused=True)` lets go, and dies."""
    state = checkout / ".worldmodel"
    place = Place(checkout, state, Ledger.open(ledger_url(state)), Records(state / "records"))
    _arm(point)
    module.sweep(place, make_plan(place, Rule(1, drop_refused=True, now=now)), load_key(key), "ann")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
