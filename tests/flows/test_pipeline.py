"""DVC's own locks after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.pipeline import clear_dead_locks
from worldmodel.errors import WorkspaceError


def record_of(workspace: Path, pid: int) -> Path:
    """A record as DVC writes it."""
    path = workspace / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True)
    entry = {"pid": pid, "cmd": "dvc repro"}
    path.write_text(json.dumps({"read": {"a": [entry]}, "write": {"b": entry}}))
    return path


def sleeper() -> "subprocess.Popen[bytes]":
    """A process that looks like DVC."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc"])


def test_the_record_of_a_killed_dvc_that_nobody_reaped_is_dropped(tmp_path: Path) -> None:
    process = sleeper()
    record = record_of(tmp_path, process.pid)
    os.kill(process.pid, signal.SIGKILL)  # a zombie until wait() below
    clear_dead_locks(tmp_path)
    assert not record.exists()
    process.wait()
    clear_dead_locks(tmp_path)


def test_a_dvc_that_goes_on_is_named_and_its_record_kept(tmp_path: Path) -> None:
    process = sleeper()
    record = record_of(tmp_path, process.pid)
    try:
        with pytest.raises(WorkspaceError, match="DVC is at work there") as caught:
            clear_dead_locks(tmp_path, patience_s=0.3)
        assert str(process.pid) in caught.value.got and record.exists()
    finally:
        process.kill()
        process.wait()


def test_another_process_with_the_number_of_a_dead_dvc_does_not_count(tmp_path: Path) -> None:
    record = record_of(tmp_path, 1)
    clear_dead_locks(tmp_path)
    assert not record.exists()
