"""What every stage runs in: files in, files out, a manifest written last.

`python -m flows.stages.<name>`, started by DVC in a run's workspace, calls `main`. It gives the stage its section of
`params.yaml`, an empty directory to write into and a private one to go on from, and renames the first to
`artifacts/<name>/` only when all of it is there. Everything that inputs do not determine (progress, metrics over time,
events, errors) goes to `run/<name>/`, where the driver reads it. No Prefect and no MLflow here.
"""

import errno
import fcntl
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from flows.clock import ImportClock
from flows.inputs import resume_directory
from flows.lineage.events import EVENTS_FILE, StageEvents
from flows.manifest import MANIFEST_FILE, write_manifest
from flows.params import PARAMS_FILE, check, read_params
from flows.process import die_with_parent
from worldmodel.errors import DataError, ParamsError, Preempted, StageError, WorkspaceError, WorldModelError

STATE_FILE, PROGRESS_FILE, METRICS_FILE = "state.json", "progress.json", "metrics.jsonl"
NOT_APPLICABLE_FILE = "not_applicable.json"
EXIT_FAILED, EXIT_PREEMPTED = 1, 75

Params = TypeVar("Params", bound=BaseModel)


def write_json(path: Path, value: Any) -> None:
    """Writes aside, then renames: a reader sees the old file or the whole new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(value, indent=2) + "\n")
    aside.rename(path)


def thread_variables(threads: int) -> dict[str, str]:
    """What numeric libraries read when they are loaded; the driver sets it too, before a stage's first import."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))


@dataclass
class Stage(Generic[Params]):
    """One run of one stage.

    Attributes:
        params: the stage's validated section of `params.yaml`; `seed` and `threads` are the file's own.
        root: the workspace, which is the working directory.
        out: empty; becomes `artifacts/<name>/` when the stage returns.
        run_dir: `run/<name>/`, for what inputs do not determine.
        resume_dir: survives a kill; keyed by the stage's inputs, removed once the stage is recorded.
        stop_requested: a SIGTERM arrived: save, then `check_stop()`.
    """

    name: str
    params: Params
    seed: int
    threads: int
    root: Path
    out: Path
    run_dir: Path
    resume_dir: Path
    stop_requested: bool = False
    _last_progress: float = field(default=0.0, repr=False)

    def input(self, stage: str) -> Path:
        """The finished output of an earlier stage.

        Raises:
            DataError: it is not there, or not finished.
        """
        path = self.root / "artifacts" / stage
        if not (path / MANIFEST_FILE).is_file():
            raise DataError(f"{path}: no finished output of {stage}", fix=f"worldmodel run --until {stage}")
        return path

    def progress(self, done: int, total: int, unit: str) -> None:
        """Says how far the stage is; written at most five times a second, and always at the end."""
        now = time.monotonic()
        if done >= total or now - self._last_progress > 0.2:
            self._last_progress = now
            write_json(self.run_dir / PROGRESS_FILE, {"done": done, "total": total, "unit": unit})

    def log_metrics(self, step: int, **values: float) -> None:
        """Appends one line to `metrics.jsonl`, which the driver mirrors to MLflow."""
        line = {"step": step, "time": round(time.time(), 3), "values": {k: float(v) for k, v in values.items()}}
        with (self.run_dir / METRICS_FILE).open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def say(self, text: str) -> None:
        """A line in the stage's log."""
        print(f"{self.name}: {text}", flush=True)

    def check_stop(self) -> None:
        """Raises `Preempted` if the stage was told to stop."""
        if self.stop_requested:
            raise Preempted(self.name)


def main(name: str, config: type[Params], run: Callable[[Stage[Params]], None]) -> None:
    """Runs a stage in the working directory and exits: 0 done, 75 preempted, 1 failed."""
    clock, parent = ImportClock(), os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        sys.exit(EXIT_FAILED)
    root = Path.cwd()
    run_dir = root / "run" / name
    run_dir.mkdir(parents=True, exist_ok=True)
    events = StageEvents(name, root)
    try:
        with _only_writer(root):
            _state(run_dir, "running")
            stage = _open_stage(name, config, root, run_dir)
            events.start()
            _run(stage, run)
            events.complete()
            _state(run_dir, "finished", seconds=clock.total(), imports_s=clock.seconds)
    except Preempted:
        _state(run_dir, "preempted")
        events.abort()
        sys.exit(EXIT_PREEMPTED)
    except Exception as error:
        known = _as_known(error, name)
        if known is not error or not isinstance(error, WorldModelError):
            traceback.print_exc()
        print(f"{name} failed: {known}", file=sys.stderr, flush=True)
        parts = {"what": known.what, "expected": known.expected, "got": known.got, "fix": known.fix}
        _state(run_dir, "failed", error={"type": type(known).__name__, **parts})
        events.fail(known)
        sys.exit(EXIT_FAILED)


def _run(stage: Stage[Params], run: Callable[[Stage[Params]], None]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: setattr(stage, "stop_requested", True))
    os.environ.update(thread_variables(stage.threads))
    run(stage)
    write_manifest(stage.out, stage.name)
    final = stage.root / "artifacts" / stage.name
    shutil.rmtree(final, ignore_errors=True)
    stage.out.rename(final)


def _open_stage(name: str, config: type[Params], root: Path, run_dir: Path) -> Stage[Params]:
    _refuse_foreign_code(root)
    path = root / PARAMS_FILE
    raw = read_params(path)
    for key in ("seed", "threads", name):
        if key not in raw:
            raise ParamsError(f"{path}: no key {key}", expected=f"seed, threads and a section {name}")
    out = root / "artifacts" / f".{name}.partial"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    resume_dir = resume_directory(root, name)
    (run_dir / PROGRESS_FILE).unlink(missing_ok=True)
    if not resume_dir.exists():  # a run that goes on keeps its metrics and events
        for file in (METRICS_FILE, EVENTS_FILE):
            (run_dir / file).unlink(missing_ok=True)
    resume_dir.mkdir(parents=True, exist_ok=True)
    params = check(config, raw[name], f"{path}, section {name}")
    return Stage(name, params, int(raw["seed"]), int(raw["threads"]), root, out, run_dir, resume_dir)


def _refuse_foreign_code(root: Path) -> None:
    """The record says that the workspace's code ran: refuse to make it false."""
    import evaluation
    import flows
    import worldmodel

    for package in (flows, evaluation, worldmodel):
        origin = Path(str(package.__file__)).resolve()
        if not origin.is_relative_to(root.resolve()):
            raise WorkspaceError(
                f"{package.__name__} was imported from outside the workspace",
                expected=f"{root}/{package.__name__}",
                got=str(origin),
                fix="start stages with `worldmodel run`, or `dvc repro` in the workspace; unset PYTHONSAFEPATH",
            )


class _only_writer:
    """A lock on the workspace that the stage itself holds: a second stage waits for an orphan to be gone."""

    def __init__(self, root: Path) -> None:
        self.path = root / "run" / ".stage.lock"

    def __enter__(self) -> None:
        self.stream = self.path.open("w")
        deadline = time.monotonic() + 60
        while True:
            try:
                return fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WorkspaceError(
                        f"{self.path}: another stage is still writing here",
                        fix="worldmodel status, then worldmodel cancel RUN",
                    ) from None
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def _state(run_dir: Path, status: str, **facts: Any) -> None:
    write_json(run_dir / STATE_FILE, {"status": status, "pid": os.getpid(), **facts})


def _as_known(error: Exception, name: str) -> WorldModelError:
    if isinstance(error, WorldModelError):
        return error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        free = shutil.disk_usage(Path.cwd()).free
        return WorkspaceError(
            f"the disk is full ({error.filename or 'while writing'})",
            got=f"{free / 2**20:.0f} MiB free",
            fix="free some space, or point WORLDMODEL_STATE at another disk; the next run goes on where this stopped",
        )
    return StageError(f"{name}: {type(error).__name__}: {error}", fix="the traceback is in the log")
