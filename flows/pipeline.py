"""DVC as a subprocess: which stages are out of date, and running one.

Only its command line and its two file formats (`dvc.yaml`, `dvc.lock`) are used, so DVC could be replaced here alone.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from flows import dvc_yaml
from flows.process import die_with_parent, kill_tree
from flows.stage import PROGRESS_FILE, STATE_FILE, write_json
from worldmodel.errors import Preempted, RemoteError, StageError, WorkspaceError

LOG_FILE = "log.txt"
POLL_SECONDS = 0.2

Outcome = Literal["cached", "restored", "ran"]


@dataclass(frozen=True)
class StageRun:
    """How a stage came to be up to date: it was, its output came from the run cache, or its command ran.

    Attributes:
        seconds: all of it, DVC's part included.
        process_s: the stage's own process, if it ran.
        imports_s: what that spent starting Python and importing.
    """

    stage: str
    outcome: Outcome
    seconds: float
    process_s: float = 0.0
    imports_s: float = 0.0


def stage_names(workspace: Path) -> list[str]:
    """The stages of `dvc.yaml`, in the order of the file, which is the order they run in."""
    return list(yaml.safe_load((workspace / "dvc.yaml").read_text())["stages"])


def lock_entries(lock: Path) -> dict[str, Any]:
    """The stages recorded in a `dvc.lock`; empty if there is none yet."""
    if not lock.is_file():
        return {}
    return dict(dvc_yaml.load(lock.read_text()).get("stages") or {})


def stale_stages(workspace: Path, environment: Mapping[str, str]) -> set[str]:
    """The stages that `dvc status` finds changed, new or with missing outputs.

    Raises:
        WorkspaceError: DVC failed, with its own message.
    """
    result = subprocess.run(
        _dvc("status", "--json"), cwd=workspace, env=dict(environment), capture_output=True, text=True
    )
    try:
        return set(json.loads(result.stdout))
    except json.JSONDecodeError:
        raise WorkspaceError(
            f"dvc status failed in {workspace}", got=(result.stderr or result.stdout)[-2000:]
        ) from None


def clear_dead_locks(workspace: Path, patience_s: float = 60.0) -> None:
    """Drops DVC's record of who reads and writes what, once no DVC of the record is alive.

    DVC drops the entries of processes that are gone, but takes one that was killed and not yet reaped for alive. Call
    it while holding the workspace: whatever DVC still runs there belongs to a driver that was killed, and is about to
    end.

    Raises:
        WorkspaceError: a DVC process goes on; names it.
    """
    record = workspace / ".dvc" / "tmp" / "rwlock"
    if not record.is_file():
        return
    pids = {int(pid) for pid in re.findall(r'"pid": (\d+)', record.read_text())}
    deadline = time.monotonic() + patience_s
    while alive := [pid for pid in pids if _is_dvc(pid)]:
        if time.monotonic() > deadline:
            raise WorkspaceError(f"{workspace}: DVC is at work there", got=f"pid {alive}", fix="let it end, or stop it")
        time.sleep(0.1)
    record.unlink()


def _is_dvc(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any("dvc" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def run_stage(
    workspace: Path, stage: str, environment: Mapping[str, str], on_poll: Callable[[], None], *, force: bool = False
) -> StageRun:
    """Brings one stage up to date in a DVC process of its own; `on_poll` is called while it runs.

    An exception in the caller's thread (Ctrl-C, a SIGTERM that Prefect turned into one) stops the stage first: it alone
    gets a SIGTERM, so that it can save; DVC ends after it.

    Raises:
        Preempted: the stage was told to stop and saved.
        StageError: it failed; names the stage, its own error and its log.
    """
    started = time.monotonic()
    run_dir = workspace / "run" / stage
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / STATE_FILE).unlink(missing_ok=True)
    log = run_dir / LOG_FILE
    with log.open("ab") as stream:
        offset = stream.tell()
        process = subprocess.Popen(
            _dvc("--wait-for-lock", "repro", "--single-item", stage, *(["--force", "--no-run-cache"] if force else [])),
            cwd=workspace,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C reaches the driver alone
            preexec_fn=die_with_parent,
        )
        try:
            while process.poll() is None:
                on_poll()
                time.sleep(POLL_SECONDS)
        except BaseException:
            _stop(process, run_dir)
            raise
    on_poll()
    output = log.read_bytes()[offset:].decode(errors="replace")
    if process.returncode:
        raise _failure(stage, run_dir, process.returncode, output)
    outcome, state = _outcome(stage, output), read_state(run_dir)
    own = (state["seconds"], state["imports_s"]) if outcome == "ran" else (0.0, 0.0)
    return StageRun(stage, outcome, time.monotonic() - started, *own)


def default_remote(workspace: Path, environment: Mapping[str, str]) -> str | None:
    """The name of DVC's default remote, or None."""
    command = _dvc("config", "core.remote")
    result = subprocess.run(command, cwd=workspace, env=dict(environment), capture_output=True, text=True)
    return result.stdout.strip() or None


def push(workspace: Path, environment: Mapping[str, str]) -> None:
    """Sends the outputs that `dvc.lock` names, and the run cache, to the default remote.

    Raises:
        RemoteError: with DVC's own last words.
    """
    command = _dvc("push", "--run-cache")
    result = subprocess.run(command, cwd=workspace, env=dict(environment), capture_output=True, text=True)
    if result.returncode:
        raise RemoteError(
            "the DVC remote did not take the outputs",
            got=(result.stderr or result.stdout).strip()[-500:],
            fix="see that it can be reached and has room; the next run pushes again, finished stages stay",
        )


def _dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _outcome(stage: str, output: str) -> Outcome:
    if f"Running stage '{stage}'" in output:
        return "ran"
    return "restored" if f"Stage '{stage}' is cached" in output else "cached"


def read_state(run_dir: Path) -> dict[str, Any]:
    """What the stage last said of itself: status, pid and error; empty before it started."""
    try:
        return dict(json.loads((run_dir / STATE_FILE).read_text()))
    except FileNotFoundError:
        return {}


def read_progress(run_dir: Path) -> dict[str, Any] | None:
    """How far a stage says it is: done, total and unit; None before it said anything."""
    try:
        return dict(json.loads((run_dir / PROGRESS_FILE).read_text()))
    except FileNotFoundError:
        return None


def _stop(process: "subprocess.Popen[bytes]", run_dir: Path, grace_s: float = 60.0) -> None:
    """SIGTERM to the stage alone, a wait for DVC to end after it, then a kill of whatever is left."""
    state = read_state(run_dir)
    if state.get("status") == "running":
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(state["pid"]), signal.SIGTERM)
    else:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    kill_tree(process.pid)


def _failure(stage: str, run_dir: Path, code: int, output: str) -> Exception:
    state = read_state(run_dir)
    log = run_dir / LOG_FILE
    if state.get("status") == "preempted":
        return Preempted(stage)
    if state.get("status") == "failed":
        error = state["error"]
        return StageError(
            f"stage {stage} failed: {error['what']}",
            expected=error["expected"],
            got=error["got"],
            fix="; ".join(filter(None, [error["fix"], f"log: {log}"])),
        )
    if state.get("status") == "running":
        write_json(run_dir / STATE_FILE, {**state, "status": "killed"})
        return StageError(f"stage {stage} was killed", got=f"exit code {code}", fix=f"run again to go on; log: {log}")
    return StageError(f"stage {stage} did not start", got=output[-1500:].strip(), fix=f"log: {log}")
