"""Files that are either whole or not there: written aside, then renamed. A full disk is named as such."""

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from worldmodel.errors import WorkspaceError

_FULL = {errno.ENOSPC, errno.EDQUOT}


def aside_of(path: Path) -> Path:
    """Where this thread writes what is to become `path`: no other writer's place, so the last to end wins.

    What a killed process left there is read by nobody, and overwritten where its numbers come again.
    """
    return path.with_name(f"{path.name}.part-{os.getpid()}-{threading.get_native_id()}")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends well, and leaves nothing when it does not.

    Raises:
        WorkspaceError: the disk, or the quota on it, is full.
    """
    aside = aside_of(path)
    with disk_full_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                yield file
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A directory to fill that becomes `path` when the block ends well; one that is already there is replaced.

    Raises:
        WorkspaceError: the disk, or the quota on it, is full.
    """
    aside = aside_of(path)
    try:
        with disk_full_named(path):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            if path.exists():
                shutil.rmtree(path)
            aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def disk_full_named(path: Path) -> Iterator[None]:
    """Turns "no space left" while writing `path` into a WorkspaceError; every other error passes."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise WorkspaceError(
            f"the disk is full: {path} could not be written",
            got=error.strerror or "no space left on device",
            fix="free some space and start again: finished parts are kept, nothing half-written is left",
        ) from error
