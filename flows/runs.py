"""The record of every run: one folder each under `<state>/runs/`, plain JSON, written by the driver alone."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from flows.process import is_alive
from flows.stage import write_json
from worldmodel.errors import WorkspaceError

RECORD_FILE = "run.json"

Status = Literal[
    "running",
    "promoted",
    "already_champion",
    "awaiting_approval",
    "refused",
    "stopped_early",
    "failed",
    "cancelled",
    "killed",
]


@dataclass
class RunRecord:
    """One run of the lifecycle.

    Attributes:
        run_id: start time and workspace key; unique, sorts by time.
        key: names the workspace.
        snapshot: the commit of code, params and data digests that the run is made from.
        commit: the tip of `refs/worldmodel/runs/<run_id>`: `dvc.lock` on top of the snapshot once there is one.
        pid, started_at: the driver's process, by number and start (epoch seconds).
        actor: who started it.
        flow_run: Prefect's id of it.
        stages: per stage: outcome, seconds in all, in its process and importing, and the digest of its lock entry.
        decision: the gate's verdict, when it came to one.
        links: where to look: MLflow, Prefect, pictures, logs.
        overhead_s: named parts of the time that no stage worked.
    """

    run_id: str
    key: str
    profile: str
    snapshot: str
    dirty: bool
    sources: list[dict[str, Any]]
    pid: int
    started_at: float
    actor: str = ""
    flow_run: str = ""
    commit: str = ""
    status: Status = "running"
    ended_at: float | None = None
    error: str | None = None
    exit_code: int | None = None
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    decision: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    overhead_s: dict[str, float] = field(default_factory=dict)


def _read(path: Path) -> RunRecord:
    try:
        return RunRecord(**json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise WorkspaceError(
            f"{path}: not a run record of this version",
            expected=", ".join(field.name for field in fields(RunRecord)),
            got=str(error),
            fix=f"move {path.parent} away; the run itself stays on its git ref",
        ) from None


class Runs:
    """The runs of one state directory."""

    def __init__(self, state: Path) -> None:
        self.directory = state / "runs"

    def create(self, key: str, **fields: Any) -> RunRecord:
        """A new record in a folder of its own."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        started = psutil.Process().create_time()
        self.directory.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{n}" for n in range(2, 100))):
            run_id = f"{stamp}-{key[:8]}{suffix}"
            try:
                self.folder(run_id).mkdir()
            except FileExistsError:
                continue
            record = RunRecord(run_id=run_id, key=key, pid=os.getpid(), started_at=started, **fields)
            self.save(record)
            return record
        raise WorkspaceError(f"{self.directory}: a hundred runs within one second", fix="wait a second")

    def folder(self, run_id: str) -> Path:
        """Where a run's own files are."""
        return self.directory / run_id

    def save(self, record: RunRecord) -> None:
        """Replaces the record on disk."""
        write_json(self.folder(record.run_id) / RECORD_FILE, asdict(record))

    def finish(self, record: RunRecord, status: Status, exit_code: int, error: str | None = None) -> None:
        """Closes the record."""
        record.status, record.exit_code, record.error, record.ended_at = status, exit_code, error, time.time()
        self.save(record)

    def newest_first(self) -> Iterator[RunRecord]:
        """Every run; one whose driver is gone without a word is `killed`."""
        for path in sorted(self.directory.glob(f"*/{RECORD_FILE}"), reverse=True):
            record = _read(path)
            if record.status == "running" and not is_alive(record.pid, record.started_at):
                record.status = "killed"
            yield record

    def find(self, name: str) -> RunRecord:
        """The run with this id, or the only one that starts or ends with it; `latest` is the newest.

        Raises:
            WorkspaceError: none or several match.
        """
        records = list(self.newest_first())
        if name == "latest" and records:
            return records[0]
        matches = [r for r in records if r.run_id == name] or [
            r for r in records if r.run_id.startswith(name) or r.run_id.endswith(name)
        ]
        if len(matches) != 1:
            raise WorkspaceError(
                f"{'no' if not matches else 'more than one'} run matches {name!r}",
                got=", ".join(r.run_id for r in (matches or records)[:5]) or "no runs yet",
                fix="give the whole id: worldmodel runs",
            )
        return matches[0]
