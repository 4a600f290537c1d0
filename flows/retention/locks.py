"""Who may delete when: one retention at a time, and nothing that runs share while a run is at work."""

import contextlib
import fcntl
from collections.abc import Collection, Iterator
from pathlib import Path

from flows.workspace import is_locked
from worldmodel.errors import WorkspaceError

ALONE, SHARED = "gc.lock", "gc-runs.lock"
_LOCK_SUFFIX = ".lock"


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Holds retention for this process.

    Raises:
        WorkspaceError: another is at it.
    """
    with (state / ALONE).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceError(f"{state}: another gc is at work there", fix="wait for it, then try again") from None
        yield


@contextlib.contextmanager
def no_deleting(state: Path) -> Iterator[None]:
    """For a run: while it lasts, nothing that runs share is deleted. Waits for what is being moved away just now."""
    with (state / SHARED).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def no_runs(state: Path, besides: Collection[str] = ()) -> Iterator[bool]:
    """For retention: whether no run is at work, which then stays so until the block ends.

    Args:
        state: the state directory.
        besides: names of workspaces' locks that the caller itself holds.
    """
    with (state / SHARED).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield not busy(state, besides)


def busy(state: Path, besides: Collection[str] = ()) -> list[str]:
    """The names of the workspaces' locks that somebody holds; makes no file."""
    names = [path.stem for path in sorted((state / "workspaces").glob(f"*{_LOCK_SUFFIX}"))]
    return [name for name in names if name not in besides and is_locked(state, name)]


def place_and_key(state: Path, lock: str) -> tuple[Path, str]:
    """What `flows.workspace.workspace_lock` takes for a lock file below the state directory."""
    path = state / lock
    return path.parents[1], path.name.removesuffix(_LOCK_SUFFIX)
