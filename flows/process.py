"""Processes that leave no orphan: a child that dies with its parent, and stopping a whole tree."""

import ctypes
import signal
import sys
from collections.abc import Iterable

import psutil

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded here, not between fork and exec


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that started it ends (Linux; elsewhere nothing happens).

    Serves as `preexec_fn`, and at the start of a stage, which must itself look whether the parent was gone already.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def is_alive(pid: int, started: float) -> bool:
    """Whether `pid` still is the process started at `started` (epoch seconds), not a later one of that number."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_tree(pid: int) -> None:
    """Kills a process and everything below it, and waits until all are gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    _kill(family)
    psutil.wait_procs(family, timeout=10)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
