"""Which objects of DVC's cache are needed: those that a kept `dvc.lock` names, with the files of listed folders.

`dvc gc` in a checkout knows its own lock file alone, and would delete what every other worktree needs. Anything in a
lock that looks like an object's name counts, so that a lock of another version, or a damaged one, keeps too much.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from flows.git import git
from flows.retention.kept import KnownRun
from flows.retention.rule import LISTING, Place
from flows.runs import Runs
from flows.workspace import RUN_REFS

LOCK_FILE = "dvc.lock"
_NAME = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?:\.dir)?(?![0-9A-Za-z])")


def named(text: str) -> set[str]:
    """The names of objects in a text: md5, with `.dir` after that of a folder's listing."""
    return set(_NAME.findall(text))


def object_path(state: Path, name: str) -> Path:
    """Where an object is, or would be."""
    return state / "cache" / "files" / "md5" / name[:2] / name[2:]


class Locks:
    """The texts of runs' lock files, from all places that have them."""

    def __init__(self, place: Place) -> None:
        """Raises WorkspaceError where git fails."""
        self._place = place
        refs = git(place.checkout, "for-each-ref", "--format=%(refname)", RUN_REFS).split()
        self._refs = {ref.removeprefix(f"{RUN_REFS}/"): ref for ref in refs}

    def of(self, run: KnownRun) -> list[str]:
        """From the run's folder, its workspace, and its git ref; none where it came to no lock.

        Raises:
            WorkspaceError: git failed.
        """
        places = [Runs(self._place.state).folder(run.run_id) / LOCK_FILE]
        if run.key:
            places.append(self._place.state / "workspaces" / run.key / LOCK_FILE)
        texts = [text for path in places if (text := lock_text(path)) is not None]
        ref = self._refs.get(run.run_id)
        entry = git(self._place.checkout, "ls-tree", ref, LOCK_FILE).split() if ref else []
        return [*texts, git(self._place.checkout, "cat-file", "blob", entry[2])] if entry else texts


def lock_text(path: Path) -> str | None:
    """A lock file as text; None where there is none."""
    return path.read_text(errors="replace") if path.is_file() else None


class Listings:
    """What the listings of folders in the cache name.

    Attributes:
        unreadable: needed listings that are gone without a tombstone, or damaged: nobody knows what they named.
    """

    def __init__(self, state: Path, is_deleted: Callable[[str], bool]) -> None:
        """`is_deleted`: whether a tombstone names an object."""
        self._state, self._is_deleted = state, is_deleted
        self._known: dict[str, set[str]] = {}
        self.unreadable: set[str] = set()

    def closure(self, names: Iterable[str]) -> set[str]:
        """The names with those that their listings name."""
        found = set(names)
        for name in [name for name in found if name.endswith(LISTING)]:
            if name not in self._known:
                self._known[name] = self._read(name)
            found |= self._known[name]
        return found

    def _read(self, name: str) -> set[str]:
        path = object_path(self._state, name)
        content = path.read_bytes() if path.is_file() else None
        if content is None and self._is_deleted(name):
            return set()
        digest = None if content is None else hashlib.md5(content, usedforsecurity=False).hexdigest()
        if content is None or digest != name.removesuffix(LISTING):
            self.unreadable.add(name)
            return set()
        return {str(row["md5"]) for row in json.loads(content)}
