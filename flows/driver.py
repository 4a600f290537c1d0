"""The driver of one lifecycle run: everything between the command and Prefect, which orders and retries what is here.

It brings stages up to date one by one, mirrors them to MLflow, has the gate decide, registers and promotes. It is the
only writer of the run's record. `flows.opening` makes one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.base import fingerprint
from evaluation.decision import Decision, GateInputs
from evaluation.evidence import NO_CHAMPION, Evidence, Performance
from evaluation.gate import decide
from evaluation.records import read_report, write_record
from evaluation.report import Report
from flows import registry
from flows.bench import Bench, measure_version
from flows.bundle import bundle_digest, bundle_digests
from flows.environment import shown_address
from flows.evidence import gather, performance_of
from flows.inputs import resume_directory
from flows.judging import Evaluated, comparable, compared, evaluated, recorded
from flows.ledger.anchors import HEAD_NAME, signed_head
from flows.ledger.store import Ledger
from flows.ledger.trust import ensure_trusted
from flows.lineage.recorder import Recorder
from flows.manifest import digest
from flows.params import PARAMS_FILE, read_params
from flows.pipeline import StageRun, default_remote, lock_entries, push, read_progress, run_stage
from flows.profile import Profile, read_profile
from flows.promotion.approvals import Approvals, counted
from flows.promotion.promote import Promotion, promote, register
from flows.promotion.reconcile import is_warning, told
from flows.recall import RECALL_LOCK, recalls_text
from flows.registered import find
from flows.reporter import Reporter
from flows.runs import RunRecord, Runs
from flows.signing.dsse import envelope_bytes
from flows.stage import PROGRESS_FILE
from flows.tracking import Tracker
from flows.workspace import RECALLS_FILE, Snapshot, record
from worldmodel.errors import DataError, RegistryError

REPORT_STAGE = "evaluate"
INPUTS_FILE, DECISION_FILE, PAGE_FILE = "gate-inputs.json", "decision.json", "report.html"


@dataclass(frozen=True)
class Request:
    """What was asked for: see `worldmodel run --help`."""

    profile: str = "tiny"
    data: tuple[str, ...] = ("synthetic",)
    until: str | None = None
    force: str | None = None


@dataclass
class Driver:
    """One opened run.

    Attributes:
        stages: those to bring up to date, in order.
        stale: those that DVC found out of date when the run opened.
        embedded_prefect: whether Prefect's server ends with the run, so that links to it are of no use.
        performance, serving, champion: what the gate is told of the candidate's speed, of the version that serves, and
            of that one's measurement.
    """

    checkout: Path
    state: Path
    request: Request
    snapshot: Snapshot
    workspace: Path
    record: RunRecord
    runs: Runs
    reporter: Reporter
    tracker: Tracker
    stages: list[str]
    stale: set[str]
    environment: dict[str, str]
    recorder: Recorder
    surroundings: dict[str, str]
    embedded_prefect: bool = False
    performance: Performance | None = None
    serving: registry.Champion | None = None
    champion: Evaluated | None = None
    decision: Decision | None = None
    _upstream_ran: bool = False

    def bring_up_to_date(self, stage: str, on_progress: Callable[[float], None]) -> StageRun:
        """Runs a stage if DVC says so, mirrors it, and notes it in the record; tells the percentage done while it runs.

        Raises:
            Preempted, StageError: see `flows.pipeline.run_stage`.
        """
        force = self.request.force == stage
        if force or self._upstream_ran or stage in self.stale:
            result = self._run(stage, force, on_progress)
        else:
            result = StageRun(stage, "cached", 0.0)
        self._upstream_ran |= result.outcome == "ran"
        entry = lock_entries(self.workspace / "dvc.lock")[stage]
        times = {key: round(getattr(result, key), 2) for key in ("seconds", "process_s", "imports_s")}
        facts: dict[str, Any] = {"outcome": result.outcome, **times, "digest": digest(entry)}
        if result.outcome == "cached":
            self.tracker.cached(stage, entry)
        self.record.stages[stage] = facts
        self.recorder.stage(stage, result.outcome, entry, self.surroundings)
        self.runs.save(self.record)
        self.reporter.stage_done(result)
        return result

    def _run(self, stage: str, force: bool, on_progress: Callable[[float], None]) -> StageRun:
        run_dir = self.workspace / "run" / stage
        (run_dir / PROGRESS_FILE).unlink(missing_ok=True)
        params = read_params(self.workspace / PARAMS_FILE)
        mirror = self.tracker.stage(stage, {key: params[key] for key in ("seed", "threads", stage)}, run_dir)
        self.reporter.stage_started(stage)

        def poll() -> None:
            mirror.poll()
            progress = read_progress(run_dir)
            self.reporter.stage_progress(stage, progress)
            if progress:
                on_progress(100 * progress["done"] / max(progress["total"], 1))

        try:
            result = run_stage(self.workspace, stage, self.environment, poll, force=force)
        except BaseException as error:
            mirror.close(type(error).__name__)
            raise
        shutil.rmtree(resume_directory(self.workspace, stage), ignore_errors=True)  # dvc.lock holds the stage now
        entry = lock_entries(self.workspace / "dvc.lock")[stage]
        mirror.close(result.outcome, entry, self.workspace / "artifacts" / stage)
        return result

    @property
    def ledger(self) -> Ledger:
        """Where what moves is recorded first."""
        return self.recorder.ledger

    @property
    def complete(self) -> bool:
        """Whether the run goes as far as the gate."""
        return REPORT_STAGE in self.stages

    def profile(self) -> Profile:
        """The run's checked params."""
        return read_profile(self.workspace / PARAMS_FILE)

    def model_parts(self) -> dict[str, str]:
        """Digests of the trained weights by part of the bundle; empty where no part had data."""
        return bundle_digests(self.workspace / "artifacts")

    def report(self) -> Report | None:
        """The evaluation of this run's model, or None where there was nothing to measure."""
        path = self.workspace / "artifacts" / REPORT_STAGE / "report.json"
        return read_report(path) if path.is_file() else None

    def register(self) -> str | None:
        """Registers the model, or finds it registered; returns its version, None where there is no model.

        Raises:
            RegistryError: MLflow does not answer.
        """
        client, parent = self._mlflow()
        self.tracker.log_artifacts(self.workspace / "artifacts" / REPORT_STAGE, REPORT_STAGE)
        name, parts = self.profile().register_.model, self.model_parts()
        if not parts:
            return None
        sha256 = bundle_digest(self.workspace / "artifacts")
        tags = registry.version_tags(self.record, parts)
        with registry.asking():
            candidate = registry.Candidate(name, sha256, self.workspace, parent, tags)
            version = register(self.ledger, client, candidate, self.record.run_id, parts, self.record.actor)
        self.record.model = {"name": name, "version": version, "sha256": sha256, "parts": parts}
        self.runs.save(self.record)
        return version

    def measure_speed(self) -> None:
        """Measures the candidate's speed and memory on this machine, unless that was done before.

        Raises:
            StageError: it could not be measured.
        """
        sha256 = bundle_digest(self.workspace / "artifacts") if self.model_parts() else ""
        self.performance = performance_of(self.state, self.workspace, sha256, self.environment)

    def measure_champion(self) -> None:
        """Finds the champion's measurement; measures it anew where that was of other data or another protocol.

        Raises:
            RegistryError: MLflow does not answer.
            StageError: the champion cannot be measured.
        """
        client, _ = self._mlflow()
        with registry.asking():
            self.serving = registry.champion(client, self.profile().register_.model)
            candidate = evaluated(self.workspace / "artifacts" / REPORT_STAGE)
            if self.serving is None or candidate is None or self._is_champion():
                return
            self.champion = recorded(client, self.state, self.serving)
        if not comparable(candidate.report, self.champion, self.serving.sha256):
            self.reporter.say(f"measuring the champion, version {self.serving.version}, as the candidate was measured")
            with registry.asking():
                version = find(client, f"{self.profile().register_.model}/{self.serving.version}")
            bench = Bench(self.checkout, self.state, self.reporter)
            try:
                self.champion = evaluated(measure_version(bench, version, self.record))
            except DataError as error:  # the gate then refuses: there is nothing to compare with
                self.champion = None
                self.reporter.say(f"the champion cannot be measured on these data: {error}")

    def _is_champion(self) -> bool:
        return self.serving is not None and self.serving.sha256 == bundle_digest(self.workspace / "artifacts")

    def decide(self) -> tuple[Decision, str | None]:
        """Lets the gate decide, and keeps what it decided from; returns it with the champion's version that it saw."""
        candidate = evaluated(self.workspace / "artifacts" / REPORT_STAGE)
        report, champion, limits = None if candidate is None else candidate.report, self.champion, self.profile().gate
        known = Evidence(
            candidate_sha256=bundle_digest(self.workspace / "artifacts"),
            champion_sha256=NO_CHAMPION if self.serving is None else self.serving.sha256,
            dirty=self.record.dirty,
            performance=self.performance,
        )
        inputs = GateInputs(
            report=report,
            champion_report=None if champion is None else champion.report,
            comparison=None if candidate is None or champion is None else compared(candidate, champion),
            evidence=gather(self.workspace, list(limits.stages), report, known),
            limits=limits,
        )
        self.decision = decide(inputs)
        folder = self.runs.folder(self.record.run_id)
        write_record(folder / INPUTS_FILE, inputs)
        write_record(folder / DECISION_FILE, self.decision)
        self.record.decision = self.decision.summary
        self.runs.save(self.record)
        if self.decision.verdict != "already_champion":
            self._write_page(folder)
        return self.decision, None if self.serving is None else self.serving.version

    def _write_page(self, folder: Path) -> None:
        """The run's page, with the gate's reasons; the decision stands without it."""
        command = [sys.executable, "-m", "flows.page", str(folder)]
        result = subprocess.run(command, cwd=self.workspace, env=self.environment, capture_output=True, text=True)
        if result.returncode:
            self.reporter.say(f"the run's page could not be written: {(result.stderr or result.stdout).strip()[-500:]}")

    def approvals(self) -> Approvals:
        """Who has approved this run's model, and whether that is what the policy asks for."""
        return counted(self.ledger.entries(), str(self.record.model["sha256"]), self.profile().promotion)

    def promote(self, version: str, expected: str | None) -> None:
        """Moves the alias `champion` to `version` if it still stands at `expected`; the ledger hears before and after.

        Raises:
            RegistryError: it stands elsewhere, or data were recalled while the run was at work.
            SigningError: the run's key was revoked meanwhile, so nobody could prove what the promotion rests on.
        """
        client, _ = self._mlflow()
        ensure_trusted(self.ledger, self.recorder.key, self.record.actor)
        approvals = self.approvals().granted
        promotion = Promotion(
            name=str(self.record.model["name"]),
            version=version,
            model_sha256=str(self.record.model["sha256"]),
            expected=expected,
            cause="approved" if approvals else "gate",
            reason="" if self.decision is None else self.decision.summary,
            run_id=self.record.run_id,
            decision_sha256=None if self.decision is None else fingerprint(self.decision),
            approvals=approvals,
            policy=self.profile().promotion,
        )
        with self.ledger.lock(RECALL_LOCK):
            if recalls_text(self.ledger) != (self.workspace / RECALLS_FILE).read_text():
                raise RegistryError(
                    "data were recalled while this run was at work, so its model is not promoted",
                    fix="run again: prepare leaves them out",
                )
            self.recorder.keep(self.runs.folder(self.record.run_id), self.record.flow_run, self.decision)
            entries = promote(self.ledger, client, promotion, self.record.actor)
        for entry in filter(is_warning, entries):
            self.reporter.say(told(entry))

    def push(self) -> None:
        """Sends outputs and run cache to DVC's default remote, if the project has one.

        Raises:
            RemoteError: the remote is full, or cannot be reached or written.
        """
        self.reporter.say("pushing to the DVC remote")
        push(self.workspace, self.environment)

    @property
    def has_remote(self) -> bool:
        """Whether DVC has a default remote to push to."""
        return default_remote(self.workspace, self.environment) is not None

    def publish(self) -> None:
        """Closes the run's records, and puts them, `dvc.lock` and the ledger's signed head on the run's git ref.

        A driver that is stopped in between leaves the rest to the next run (`flows.settling`).

        Raises:
            SigningError: the run's key was revoked meanwhile, so what it signed would count for nothing.
            LedgerError, WorkspaceError: the ledger or git does not answer.
        """
        ensure_trusted(self.ledger, self.recorder.key, self.record.actor)
        folder = self.runs.folder(self.record.run_id)
        lock = self.workspace / "dvc.lock"
        if lock.is_file():
            (folder / "dvc.lock").write_bytes(lock.read_bytes())
        closed = self.recorder.close(folder, self.record.flow_run, self.decision)
        head = envelope_bytes(signed_head(self.ledger, self.recorder.key))
        files = {**closed.files, HEAD_NAME: head} | ({lock.name: lock.read_bytes()} if lock.is_file() else {})
        self.record.commit = record(self.checkout, self.record.run_id, self.snapshot, files)
        if self.decision is not None and self.tracker.client is not None:
            for name in (DECISION_FILE, INPUTS_FILE, PAGE_FILE):
                if (folder / name).is_file():
                    self.tracker.log_artifacts(folder / name)

    def _mlflow(self) -> tuple[Any, str]:
        if self.tracker.client is None or self.tracker.parent is None:
            raise RegistryError(
                "MLflow does not answer, so the model cannot be registered",
                got=shown_address(os.environ.get("MLFLOW_TRACKING_URI", "")),
                fix="start it (worldmodel up) or unset MLFLOW_TRACKING_URI; then run again, finished stages stay",
            )
        return self.tracker.client, self.tracker.parent
