"""Deleting what a plan names. First the ledger says so, then things are moved aside, then they are deleted.

So whatever is missing has a tombstone, and nothing that is half deleted is in its place. A sweep that was killed leaves
things aside, which the next one deletes, or in place, which the next plan finds with their tombstone.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from flows.git import git
from flows.ledger.anchors import anchor
from flows.ledger.bodies import Deleted, RetentionDeleted
from flows.retention import disk
from flows.retention.locks import busy, no_runs, place_and_key
from flows.retention.rule import DELETED, LISTING, Item, Kind, Place, Plan
from flows.runs import Runs
from flows.signing.keys import SigningKey
from flows.workspace import workspace_lock
from worldmodel.errors import WorkspaceError

PER_TOMBSTONE = 500
_MOST_LOCKS = 400  # each is an open file
_ORDER: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Swept:
    """What a sweep came to.

    Attributes:
        items: what was deleted.
        entries: sequence numbers of its tombstones; what had one already got no second.
        notes: what was left, and why.
    """

    items: list[Item] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """How much was freed."""
        return sum(item.bytes for item in self.items)


def sweep(place: Place, plan: Plan, key: SigningKey, actor: str) -> Swept:
    """Deletes what a plan names, as far as nobody has begun to use it since. Call it within `locks.alone`.

    Args:
        place: where.
        plan: what.
        key: signs the ledger's head afterwards; the ledger has to trust it.
        actor: who deletes.

    Raises:
        LedgerError: a tombstone cannot be written; then nothing was deleted.
        WorkspaceError: something cannot be moved or deleted, or git failed.
    """
    found = Swept()
    _empty_asides(place.state)
    with ExitStack() as held:
        locks = _lock_workspaces(place.state, plan.items, held, found)
        with no_runs(place.state, _own(locks)) as alone:
            items = [item for item in plan.items if item.lock in locks or not item.lock]
            if not (alone and _undisturbed(place, plan, locks)):
                items = [item for item in items if item.lock]
                found.notes.append("a run is at work now: only workspaces that nobody uses are deleted")
            items = sorted((item for item in items if _is_there(place.state, item)), key=_in_order)
            found.entries = _bury(place, plan.rule, items, actor)
            found.items = _move_aside(place, plan, items, locks, found)
        _empty_asides(place.state)
    if any(item.kind in ("workspace", "rebuild") for item in found.items):
        git(place.checkout, "worktree", "prune")
    anchor(place.checkout, place.ledger, key)
    return found


def _lock_workspaces(state: Path, items: Iterable[Item], held: ExitStack, found: Swept) -> set[str]:
    """Takes the locks of what goes; returns those taken."""
    taken: set[str] = set()
    names = list(dict.fromkeys(item.lock for item in items if item.lock))
    if names[_MOST_LOCKS:]:
        found.notes.append(f"{len(names) - _MOST_LOCKS} workspaces are left for the next gc")
    for name in names[:_MOST_LOCKS]:
        try:
            held.enter_context(workspace_lock(*place_and_key(state, name)))
            taken.add(name)
        except BlockingIOError:
            found.notes.append(f"somebody is at work in {Path(name).stem} now: it stays")
    return taken


def _own(locks: Iterable[str]) -> set[str]:
    """The names of workspaces' locks among them."""
    return {Path(lock).stem for lock in locks if lock.startswith("workspaces/")}


def _undisturbed(place: Place, plan: Plan, locks: Iterable[str]) -> bool:
    """Whether no run is at work, or was since the plan was made."""
    there = {record.run_id for record in Runs(place.state).newest_first()}
    return there <= plan.known and not busy(place.state, _own(locks))


def _is_there(state: Path, item: Item) -> bool:
    path = state / item.path
    return disk.is_inside(state, path) and os.path.lexists(path)


def _in_order(item: Item) -> tuple[int, bool, str]:
    """What names other things before them: entries of the run cache, listings, files."""
    return _ORDER.index(item.kind), not item.path.endswith(LISTING), item.path


def _bury(place: Place, rule: str, items: Sequence[Item], actor: str) -> list[int]:
    """Writes the tombstones that are not there yet, all at once; returns the numbers of their entries."""
    fresh = [
        Deleted(kind=item.kind, path=item.path, bytes=item.bytes, digest=item.digest) for item in items if not item.told
    ]
    bodies = [
        RetentionDeleted(rule=rule, items=tuple(fresh[first : first + PER_TOMBSTONE]))
        for first in range(0, len(fresh), PER_TOMBSTONE)
    ]
    return [entry.sequence for entry in place.ledger.append_all(bodies, actor)]


def _move_aside(place: Place, plan: Plan, items: Sequence[Item], locks: set[str], found: Swept) -> list[Item]:
    """Moves everything at once; back, if a run began meanwhile that does not wait for retention."""
    moved: list[tuple[Item, Path]] = []
    for number, item in enumerate(items):
        path = place.state / item.path
        if item.kind == "workspace":
            path.with_name(f"{path.name}.ready").unlink(missing_ok=True)
        moved.append((item, _move(path, _aside(place.state, item.path) / str(number))))
    if any(not item.lock for item in items) and not _undisturbed(place, plan, locks):
        found.notes.append("a run began while things were moved: all but workspaces is back in its place")
        for item, aside in moved:
            if not item.lock and not os.path.lexists(place.state / item.path):
                _move(aside, place.state / item.path)
        moved = [(item, aside) for item, aside in moved if item.lock]
    return [item for item, _ in moved]


def _aside(state: Path, path: str) -> Path:
    """Where things from a folder of the state directory wait to be deleted: in that folder, so on its file system."""
    place = state / Path(path).parts[0] / DELETED
    place.mkdir(exist_ok=True)
    if not disk.is_inside(state, place / "0"):
        raise WorkspaceError(f"{place} is a link", expected="a folder", fix="remove it, then try again")
    return place


def _move(path: Path, to: Path) -> Path:
    try:
        return path.rename(to)
    except OSError as error:
        raise _undeletable(path, error) from error


def _empty_asides(state: Path) -> None:
    """Deletes for good what was moved aside."""
    for area in disk.folders(state):
        place = area / DELETED
        if place.is_dir() and not place.is_symlink():
            try:
                shutil.rmtree(place)
            except OSError as error:
                raise _undeletable(place, error) from error


def _undeletable(path: Path, error: OSError) -> WorkspaceError:
    what = f"{path} cannot be deleted"
    return WorkspaceError(what, got=str(error), fix="see to its owner and rights, then: worldmodel gc")
