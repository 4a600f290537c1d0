"""What retention is asked for, and what it comes to: items that go, items that stay, and why."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evaluation.base import Record
from flows.ledger.store import Ledger
from flows.lineage.records import Records
from worldmodel.errors import ParamsError

Kind = Literal[
    "workspace", "output", "run-cache", "object", "resume", "media", "features", "performance", "rebuild"
]  # in the order that they are deleted in: what names others first
YOUNG_S = 3600.0
DAY_S = 86400.0
LISTING = ".dir"  # ends the name of an object that lists those of a folder
DELETED = ".deleted"  # of a folder of the state directory: what waits there has a tombstone


@dataclass(frozen=True)
class Rule:
    """Which runs are kept.

    Attributes:
        newest: so many of the runs that ended.
        days: and those that ended in so many days before `now`.
        drop_refused: registered versions that were neither champion nor the newest need nothing any more.
        recalled: outputs that hold recalled data go, even of kept runs, unless a champion that serves needs them.
        now: epoch seconds.
    """

    newest: int
    days: float = 0.0
    drop_refused: bool = False
    recalled: bool = False
    now: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.newest < 0 or not 0 <= self.days < float("inf"):
            got = f"--keep {self.newest} --keep-days {self.days:g}"
            raise ParamsError("retention keeps a number of runs, and days", expected="0 or more", got=got)

    def __str__(self) -> str:
        """As tombstones name it."""
        more = [f"--keep-days {self.days:g}"] if self.days else []
        more += ["--drop-refused"] if self.drop_refused else []
        more += ["--recalled"] if self.recalled else []
        return " ".join([f"gc --keep {self.newest}", *more])


@dataclass(frozen=True)
class Place:
    """Where retention works."""

    checkout: Path
    state: Path
    ledger: Ledger
    records: Records


class Item(Record):
    """Something on disk that goes.

    Attributes:
        path: below the state directory.
        bytes: the sizes of its files together.
        changed: when it was made or changed last, epoch seconds.
        digest: of an object, its md5.
        lock: the lock file of the workspace it belongs to, below the state directory; empty where it has none.
        told: whether a tombstone names it already, written after it was made.
    """

    kind: Kind
    path: str
    bytes: int
    changed: float
    why: str
    digest: str | None = None
    lock: str = ""
    told: bool = False


class Stays(Record):
    """How much of a kind stays for one reason."""

    kind: Kind
    why: str
    items: int
    bytes: int


class KeptRun(Record):
    """A run whose outputs are kept, with every reason."""

    run_id: str
    why: tuple[str, ...]


class Plan(Record):
    """What goes and what stays; `known` are the ids of all runs there were, `notes` what could not be told."""

    rule: str
    kept: tuple[KeptRun, ...]
    items: tuple[Item, ...]
    stays: tuple[Stays, ...]
    notes: tuple[str, ...]
    known: frozenset[str]

    @property
    def bytes(self) -> int:
        """How much would be freed."""
        return sum(item.bytes for item in self.items)

    def only(self, other: "Plan") -> "Plan":
        """This plan without what another does not have."""
        there = {(item.path, item.changed) for item in other.items}
        return self.model_copy(update={"items": tuple(i for i in self.items if (i.path, i.changed) in there)})


class Tally:
    """Gathers a plan, kind by kind."""

    def __init__(self, told: Mapping[str, float]) -> None:
        """`told`: when a tombstone was written for a path, epoch seconds."""
        self._told = told
        self.items: list[Item] = []
        self.notes: list[str] = []
        self._stays: dict[tuple[Kind, str], list[int]] = {}

    def goes(self, item: Item) -> None:
        """Something is deleted."""
        told = item.changed <= self._told.get(item.path, 0.0)
        self.items.append(item.model_copy(update={"told": told}) if told else item)

    def stays(self, kind: Kind, why: str, size: int) -> None:
        """Something is kept."""
        self._stays.setdefault((kind, why), []).append(size)

    def stayed(self) -> tuple[Stays, ...]:
        """All that is kept."""
        return tuple(
            Stays(kind=kind, why=why, items=len(sizes), bytes=sum(sizes))
            for (kind, why), sizes in sorted(self._stays.items())
        )
