"""`worldmodel cancel`."""

import os
import signal
import time
from pathlib import Path

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout
from flows.process import is_alive, kill_tree
from flows.runs import Runs
from worldmodel.errors import WorkspaceError

GRACE_S = 90.0


def cancel_run(name: str, *, as_json: bool) -> int:
    """Asks the driver to stop, waits, and kills what is left of it.

    Raises:
        WorkspaceError: no such run, or it is not at work.
    """
    runs = Runs(state_dir(find_checkout(Path.cwd())))
    record = runs.find(name)
    if record.status != "running":
        raise WorkspaceError(f"run {record.run_id} is not at work", got=record.status, fix="worldmodel status")
    os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while is_alive(record.pid, record.started_at) and time.monotonic() < deadline:
        time.sleep(0.1)
    killed = is_alive(record.pid, record.started_at)
    if killed:
        kill_tree(record.pid)
    status = runs.find(record.run_id).status
    if as_json:
        print_json({"run_id": record.run_id, "status": status, "killed": killed})
    else:
        print(f"{record.run_id}: {status}; `worldmodel run` goes on from here")
    return 0
