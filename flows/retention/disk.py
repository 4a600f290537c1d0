"""What lies in the state directory. Nothing here follows a link, so nothing outside is seen, measured or deleted."""

import os
from collections.abc import Iterator
from pathlib import Path

from flows.retention.rule import DELETED


def folders(state: Path, *parts: str) -> list[Path]:
    """The folders in a folder of the state directory; none where that is not there, or is reached through a link."""
    return [path for path in _entries(state, *parts) if _is_real(path) and path.name != DELETED]


def files(state: Path, *parts: str) -> list[Path]:
    """The files in a folder of the state directory, as `folders`."""
    return [path for path in _entries(state, *parts) if path.is_file() and not path.is_symlink()]


def linked(state: Path, *areas: str) -> list[str]:
    """Which of these folders are links."""
    return [area for area in areas if (state / area).is_symlink()]


def is_inside(state: Path, path: Path) -> bool:
    """Whether a path below the state directory is reached through real folders alone."""
    if not path.is_relative_to(state) or ".." in path.parts:
        return False
    above = [parent for parent in path.parents if parent != state and parent.is_relative_to(state)]
    return all(_is_real(parent) for parent in above)


def size(path: Path) -> int:
    """The sizes of a file, or of all files in a folder, together; links count as themselves."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        total += sum((Path(folder) / name).lstat().st_size for name in names)
    return total


def changed(path: Path) -> float:
    """When a file, or a folder's list of names, was changed last, moved, or given other rights; epoch seconds."""
    facts = path.lstat()
    return max(facts.st_mtime, facts.st_ctime)


def _entries(state: Path, *parts: str) -> Iterator[Path]:
    place = state.joinpath(*parts)
    if _is_real(place) and is_inside(state, place):
        yield from sorted(place.iterdir())


def _is_real(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
