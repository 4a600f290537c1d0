"""Measures a registered version again, without training: the parts of the registry on a run's data and code.

A bench is a workspace like a run's: a worktree of the run's snapshot with params changed to the protocol
(`flows.bench_params`). Its prepared and validated data are those that the run's `dvc.lock` names, its trained stages
hold the registered parts, and DVC brings up to date what lies behind them. The result is kept in
`<state>/evaluations/<key>/`; the same version, run and protocol find it there, and made anew it has the same bytes.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from evaluation.config import EvaluateConfig
from evaluation.protocols import Preset, preset
from evaluation.records import read_report
from evaluation.report import Report
from flows.bench_params import HeldModel, bench_params, held_model
from flows.bundle import PARTS
from flows.environment import stage_environment
from flows.git import git
from flows.inputs import resume_directory
from flows.judging import EVALUATIONS, REPORT_FILE, evaluated
from flows.manifest import digest, write_manifest
from flows.params import PARAMS_FILE, check
from flows.pipeline import clear_dead_locks, default_remote, lock_entries, read_progress, run_stage, stage_names
from flows.registered import Registered, fetch
from flows.reporter import Reporter
from flows.retention.locks import no_deleting
from flows.runs import RunRecord, Runs
from flows.stage import NOT_APPLICABLE_FILE, thread_variables, write_json
from flows.workspace import Snapshot, open_workspace, workspace_lock
from worldmodel.data.atomic import atomic_directory, atomic_file
from worldmodel.errors import DataError, WorkspaceError, WorldModelError

DATA = ("prepare", "validate")
MEASURED = ("reconstruct", "render_priors", "train_tokenizer", "rollout", "evaluate")
IDENTITY_FILE, BENCH_FILE = "evaluation.json", "data/bench.json"
BENCH_VERSION = 1  # raise it whenever a bench would measure something else
_PARTS_FOLDER = "artifacts/registered"
_UNTRAINED = "a registered version is measured: nothing is trained here"
_LOCK = "dvc.lock"
_BENCH_CODE = "flows/bench.py"


@dataclass(frozen=True)
class Bench:
    """Where versions are measured: the checkout and its state, and who is told how it goes."""

    checkout: Path
    state: Path
    reporter: Reporter = field(default_factory=Reporter)


@dataclass(frozen=True)
class _Job:
    """One measurement; `identity` is all that its result depends on."""

    model: Registered
    run: RunRecord
    asked: Preset
    params: dict[str, Any]
    identity: dict[str, Any]

    @property
    def key(self) -> str:
        return digest(self.identity)[:16]


def measure_version(bench: Bench, model: Registered, run: RunRecord, protocol: str | None = None) -> Path:
    """The directory with the `report.json`, features and pictures of a version, measured on a run's data.

    Args:
        bench: where.
        model: which version.
        run: whose code, data and params are used; it may still be at work, with its data validated.
        protocol: name of a preset; None: the run's own.

    Raises:
        ParamsError: there is no such protocol.
        DataError, RegistryError, StageError, WorkspaceError: the run's data or the version's parts are not there, or
            cannot be measured under the protocol.
        Preempted: it was told to stop; measuring again goes on from there.
    """
    job = _job(bench.checkout, model, run, protocol)
    kept = bench.state / EVALUATIONS / job.key
    if evaluated(kept) is None:
        with no_deleting(bench.state), _alone(bench, f"evaluation-{job.key}"):
            if evaluated(kept) is None:  # or left damaged
                bench.reporter.say(f"measuring {model} on the data of run {run.run_id} under {job.asked.name}")
                _measure(bench, job, kept)
    return kept


def _job(checkout: Path, model: Registered, run: RunRecord, protocol: str | None) -> _Job:
    if not git(checkout, "ls-tree", "--name-only", run.snapshot, _BENCH_CODE):
        what = f"run {run.run_id} is of code that cannot measure registered versions"
        raise WorkspaceError(what, got=f"no {_BENCH_CODE} in it", fix="measure on a newer run: --run latest")
    params = yaml.safe_load(git(checkout, "show", f"{run.snapshot}:{PARAMS_FILE}"))
    if protocol is None:
        protocol = check(EvaluateConfig, params["evaluate"], f"{PARAMS_FILE} of run {run.run_id}, evaluate").protocol
    asked = preset(protocol)
    identity = {
        "schema_version": "worldmodel.evaluation/1",
        "bench": BENCH_VERSION,
        "model_sha256": model.sha256,
        "protocol": asked.name,
        "protocol_fingerprint": asked.fingerprint,
        "tree": git(checkout, "rev-parse", f"{run.snapshot}^{{tree}}"),
    }
    return _Job(model, run, asked, params, identity)


@contextmanager
def _alone(bench: Bench, name: str) -> Iterator[None]:
    """One measurement of its kind at a time: a second one waits, and finds what the first has left."""
    with ExitStack() as stack:
        for turn in count():
            try:
                stack.enter_context(workspace_lock(bench.state, name))
                break
            except BlockingIOError:
                if turn == 0:
                    bench.reporter.say("the same measurement is at work; waiting for it")
                time.sleep(0.5)
        yield


def _measure(bench: Bench, job: _Job, kept: Path) -> None:
    """Fills a workspace, brings the measuring stages up to date there, and keeps what the last one wrote.

    The workspace of a stage that failed or was stopped stays, with its logs; a workspace that could not be filled goes.
    """
    workspace = open_workspace(bench.checkout, bench.state, _snapshot(bench.checkout, job))
    environment = {**stage_environment(bench.state), **thread_variables(int(job.params["threads"]))}
    clear_dead_locks(workspace)
    try:
        stages = _filled(bench, job, workspace, environment)
    except WorldModelError:
        _remove(bench.checkout, workspace)
        raise
    for stage in stages:
        _bring_up_to_date(bench, workspace, stage, environment)
    _keep(job, workspace / "artifacts" / "evaluate", kept)
    _remove(bench.checkout, workspace)


def _filled(bench: Bench, job: _Job, workspace: Path, environment: Mapping[str, str]) -> list[str]:
    """Data, parts and params in place; returns the stages to run."""
    _bring_data(bench, job.run, workspace, environment)
    fetch(job.model, workspace / _PARTS_FOLDER)
    held = held_model(workspace, workspace / _PARTS_FOLDER)
    params = bench_params(job.params, job.asked, held, _checked_sources(job, held, workspace))
    (workspace / PARAMS_FILE).write_text(yaml.safe_dump(params, sort_keys=False))
    return _fill_in(workspace)


def _remove(checkout: Path, workspace: Path) -> None:
    """DVC's cache still has what its stages made."""
    workspace.with_name(f"{workspace.name}.ready").unlink()
    git(checkout, "worktree", "remove", "--force", str(workspace))


def _snapshot(checkout: Path, job: _Job) -> Snapshot:
    """The run's snapshot with a file that says what is measured, so that the workspace is this measurement's own."""
    with tempfile.TemporaryDirectory() as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git(checkout, "read-tree", job.identity["tree"], env=env)
        blob = git(checkout, "hash-object", "-w", "--stdin", stdin=json.dumps(job.identity, indent=1, sort_keys=True))
        git(checkout, "update-index", "--add", "--cacheinfo", f"100644,{blob},{BENCH_FILE}", env=env)
        tree = git(checkout, "write-tree", env=env)
    commit = git(checkout, "commit-tree", tree, "-p", job.run.snapshot, "-m", f"Bench of {job.model}")
    return Snapshot(commit, tree, job.run.dirty)


def _bring_data(bench: Bench, run: RunRecord, workspace: Path, environment: Mapping[str, str]) -> None:
    """The run's prepared and validated data, from DVC's cache, or from its remote.

    Raises:
        WorkspaceError: the run did not come so far, or the data are in neither.
    """
    places = (bench.state / "workspaces" / run.key / _LOCK, Runs(bench.state).folder(run.run_id) / _LOCK)
    found = next((entries for place in places if set(DATA) <= set(entries := lock_entries(place))), None)
    if found is None:
        what = f"run {run.run_id} has no prepared and validated data"
        raise WorkspaceError(what, fix="let it come further, or measure on another run: --run RUN")
    entries = lock_entries(workspace / _LOCK) | {stage: found[stage] for stage in DATA}
    with atomic_file(workspace / _LOCK) as file:
        file.write(yaml.safe_dump({"schema": "2.0", "stages": entries}, sort_keys=False).encode())
    problem = _dvc(workspace, environment, "checkout", "--force")
    if problem is not None and default_remote(workspace, environment) is not None:
        problem = _dvc(workspace, environment, "pull", "--force")
    if problem is not None:
        what = f"the data of run {run.run_id} are no longer in DVC's cache"
        raise WorkspaceError(what, got=problem, fix="make them again: worldmodel run, with that run's profile and data")


def _dvc(workspace: Path, environment: Mapping[str, str], *command: str) -> str | None:
    """Runs a DVC command on the data's stages; its last words if it failed."""
    arguments = [sys.executable, "-m", "dvc", *command, *DATA]
    result = subprocess.run(arguments, cwd=workspace, env=dict(environment), capture_output=True, text=True)
    return (result.stderr or result.stdout).strip()[-500:] if result.returncode else None


def _checked_sources(job: _Job, held: HeldModel, workspace: Path) -> Sequence[str]:
    """The sources of the prepared clips.

    Raises:
        DataError: the protocol's dataset is not among them, or the generator makes images of another size.
    """
    from worldmodel.data.shards import ClipStore

    store = ClipStore(workspace / "artifacts" / "prepare")
    rows = [store.row(clip_id) for clip_id in store.clip_ids()]
    sources = sorted({row["source"] for row in rows})
    if job.asked.dataset is not None and job.asked.dataset not in sources:
        raise DataError(
            f"protocol {job.asked.name} is on {job.asked.dataset}, and run {job.run.run_id} has no clip of it",
            expected=job.asked.dataset,
            got=", ".join(sources),
            fix="measure on a run that has it (--run RUN), or under another protocol: worldmodel metrics protocols",
        )
    sizes = {(row["height"], row["width"]) for row in rows}
    if held.image_size is not None and sizes != {held.image_size}:
        raise DataError(
            f"{job.model} makes images of another size than the clips of run {job.run.run_id}",
            expected="{} x {}".format(*held.image_size),
            got=", ".join(f"{height} x {width}" for height, width in sorted(sizes)),
            fix="measure on a run with that size: --run RUN",
        )
    return sources


def _fill_in(workspace: Path) -> list[str]:
    """Puts the registered parts, or a reason, where training would have left weights; returns the stages to run."""
    artifacts, to_run = workspace / "artifacts", list(MEASURED)
    for stage in stage_names(workspace):
        registered = workspace / _PARTS_FOLDER / stage
        if stage in DATA or (stage in MEASURED and (stage != "train_tokenizer" or registered.is_dir())):
            continue
        with atomic_directory(artifacts / stage) as aside:
            if registered.is_dir():
                shutil.copytree(registered, aside, dirs_exist_ok=True)
                continue
            reason = "the registered version has no such part" if stage in _PART_STAGES else _UNTRAINED
            write_json(aside / NOT_APPLICABLE_FILE, {"reason": reason})
            write_manifest(aside, stage)
            to_run = [name for name in to_run if name != stage]
    return to_run


_PART_STAGES = {part.stage for part in PARTS}


def _bring_up_to_date(bench: Bench, workspace: Path, stage: str, environment: Mapping[str, str]) -> None:
    def poll() -> None:
        bench.reporter.stage_progress(stage, read_progress(workspace / "run" / stage))

    bench.reporter.stage_started(stage)
    result = run_stage(workspace, stage, environment, poll)
    shutil.rmtree(resume_directory(workspace, stage), ignore_errors=True)
    bench.reporter.stage_done(result)


def _keep(job: _Job, measured: Path, kept: Path) -> None:
    """Copies the output of `evaluate`, if it measured this very model.

    Raises:
        DataError: there was nothing to measure, or the report is of another model.
    """
    reason = measured / NOT_APPLICABLE_FILE
    if reason.is_file():
        what = f"nothing of {job.model} can be measured under {job.asked.name}"
        got = str(json.loads(reason.read_text())["reason"])
        raise DataError(what, got=got, fix="measure on another run (--run RUN) or under another protocol")
    report = read_report(measured / REPORT_FILE)
    if report.model.sha256 != job.model.sha256:
        what = f"the report is not of {job.model}"
        raise DataError(what, expected=f"sha256 {job.model.sha256}", got=report.model.sha256)
    with atomic_directory(kept) as aside:
        shutil.copytree(measured, aside, dirs_exist_ok=True)
        write_json(aside / IDENTITY_FILE, job.identity)


def trained_on(state: Path, model: Registered, report: Report) -> list[str] | None:
    """The measured logs, by name, that the version was trained on: a newer split may have put some among the held out.

    None where the data of the version's own run are no longer here, so that nobody can say.
    """
    from worldmodel.data.shards import ClipStore

    try:
        run = Runs(state).find(model.run_id)
        store = ClipStore(state / "workspaces" / run.key / "artifacts" / "prepare")
        trained = {store.row(clip_id)["log_id"] for clip_id in store.clip_ids("train")}
    except (WorkspaceError, DataError):
        return None
    return sorted({clip.log_id for clip in report.clips if not clip.same_log} & trained)
