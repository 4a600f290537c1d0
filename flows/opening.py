"""Opening a run: params, data, snapshot, workspace, and what is out of date in it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluation.config import EvaluateConfig
from evaluation.extractors.weights import FETCH_COMMAND, WEIGHTS, is_installed, weights_directory
from evaluation.protocols import Preset, preset
from flows.driver import REPORT_STAGE, Driver, Request
from flows.environment import stage_environment
from flows.git import is_ignored
from flows.ledger.anchors import read_anchors
from flows.ledger.store import Ledger, ledger_url
from flows.ledger.trust import ensure_trusted
from flows.lineage.events import RUN_VARIABLE
from flows.lineage.recorder import Recorder
from flows.lineage.records import RECORDS_FOLDER, Records
from flows.lineage.surroundings import installed_packages, surroundings
from flows.params import PARAMS_FILE, check, read_params
from flows.pipeline import clear_dead_locks, read_progress, stage_names, stale_stages
from flows.profile import profile_path, read_profile
from flows.recall import recalls_text
from flows.reporter import Reporter
from flows.retention.locks import no_deleting
from flows.runs import RunRecord, Runs
from flows.settling import settle
from flows.signing.keys import SigningKey, actor, signing_key
from flows.stage import thread_variables, write_json
from flows.tracking import Tracker
from flows.workspace import (
    SOURCES_FILE,
    Snapshot,
    is_locked,
    open_workspace,
    record,
    require_space,
    take_snapshot,
    workspace_lock,
)
from worldmodel.data.sources import ResolvedSource, remember_paths, resolve_specs, write_sources
from worldmodel.errors import MissingDependencyError, ParamsError, Preempted, WorkspaceError
from worldmodel.worldgen.config import RolloutConfig

LOCAL_SOURCES, DIGEST_CACHE = "sources.local.json", "digests.json"
PACKAGES_FILE = "packages.json"
MIN_FREE_MIB = 1024
EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 130, 143
_UNRECORDED = "the run ended, but could not be recorded"


@contextmanager
def opened(checkout: Path, state: Path, request: Request, reporter: Reporter) -> Iterator[Driver]:
    """A driver that holds its workspace; on the way out the record is closed, whatever happened.

    If the very same run is at work already, waits for it, and then finds its stages done.

    Raises:
        ParamsError, DataError, WorkspaceError: what was asked for cannot be run.
        MissingDependencyError: videos are to be measured, and the metrics' weights are not there.
        LedgerError, SigningError: what the run does could not be recorded, or not be signed.
    """
    _require_ignored(checkout, state)
    state.mkdir(parents=True, exist_ok=True)
    ledger, key = _ledger_and_key(checkout, state, reporter)
    for run_id in settle(checkout, state, ledger, key):
        reporter.say(f"run {run_id}, whose driver was stopped while it closed its records, is recorded now")
    require_space(state, MIN_FREE_MIB)
    profile = profile_path(checkout, request.profile)
    read_profile(profile)
    sources = resolve_specs(request.data, state / DIGEST_CACHE)
    remember_paths(state / LOCAL_SOURCES, sources)
    snapshot = take_snapshot(checkout, profile.read_text(), _sources_text(sources), recalls_text(ledger))
    with no_deleting(state), _held(state, snapshot, reporter):
        workspace = open_workspace(checkout, state, snapshot)
        clear_dead_locks(workspace)
        stages = _asked_for(stage_names(workspace), request)
        params = read_params(workspace / PARAMS_FILE)
        threads = int(params["threads"])
        environment = {**stage_environment(state), **thread_variables(threads)}
        stale = stale_stages(workspace, environment)
        if REPORT_STAGE in stages and (request.force or stale.intersection(stages)):
            _require_metric_weights(params)
        runs = Runs(state)
        rows = [{"name": s.name, "adapter": s.adapter, "digest": s.digest} for s in sources]
        run = runs.create(
            snapshot.key, profile=request.profile, snapshot=snapshot.commit, dirty=snapshot.dirty, sources=rows
        )
        run.actor, run.commit = actor(), record(checkout, run.run_id, snapshot)
        environment[RUN_VARIABLE] = run.run_id
        write_json(runs.folder(run.run_id) / PACKAGES_FILE, installed_packages())
        reporter.run_opened(run, stages, workspace)
        tracker = Tracker(reporter.say)
        tracker.start(run.run_id, _tags(run))
        recorder = Recorder(Records(state / RECORDS_FOLDER), ledger, key, run, snapshot, workspace)
        driver = Driver(
            checkout,
            state,
            request,
            snapshot,
            workspace,
            run,
            runs,
            reporter,
            tracker,
            stages,
            stale,
            environment,
            recorder,
            surroundings(workspace, threads),
        )
        with _closing(driver):
            yield driver


def _ledger_and_key(checkout: Path, state: Path, reporter: Reporter) -> tuple[Ledger, SigningKey]:
    """The ledger, and a key that it trusts; says so where it is new, though git has heads of one."""
    key, ledger = signing_key(), Ledger.open(ledger_url(state))
    if ledger.head() is None and (heads := len(read_anchors(checkout))):
        said = f"the ledger is empty, but git has {heads} signed heads of one: this run begins another"
        reporter.say(f"{said}. Was it lost? Stop, then: worldmodel audit restore FILE")
    ensure_trusted(ledger, key, actor())
    return ledger, key


@contextmanager
def _closing(driver: Driver) -> Iterator[None]:
    """Closes the record and the MLflow run, however the run ended; what ended it is what is raised.

    Raises:
        LedgerError, SigningError, WorkspaceError: the run came to its end, and could not be recorded.
    """
    record_, runs = driver.record, driver.runs
    try:
        yield
    except BaseException as error:
        cancelled = isinstance(error, Preempted) or not isinstance(error, Exception)
        runs.finish(record_, "cancelled" if cancelled else "failed", exit_code(error), str(error) or repr(error))
        driver.tracker.finish("KILLED" if cancelled else "FAILED", {"worldmodel.status": record_.status})
        try:
            driver.publish()
        except Exception as unrecorded:
            driver.reporter.say(f"{_UNRECORDED}: {unrecorded}")
        runs.save(record_)
        raise
    try:
        driver.publish()
    except Exception as error:
        record_.exit_code, record_.error = EXIT_FAILED, f"{_UNRECORDED}: {error}"
        driver.reporter.say(f"{_UNRECORDED}. Nothing that it made is lost: the next run sees to it")
        driver.tracker.finish("FAILED", {"worldmodel.status": record_.status})
        raise
    finally:
        runs.save(record_)
    driver.tracker.finish("FINISHED", {"worldmodel.status": record_.status, "worldmodel.commit": record_.commit})


def exit_code(error: BaseException) -> int:
    """What a run that ended in an exception exits with: 130 for Ctrl-C, 143 for SIGTERM and preemption, else 1."""
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return EXIT_FAILED if isinstance(error, Exception) and not isinstance(error, Preempted) else EXIT_TERMINATED


def _asked_for(names: list[str], request: Request) -> list[str]:
    for option, stage in (("--until", request.until), ("--force", request.force)):
        if stage is not None and stage not in names:
            raise ParamsError(f"{option} {stage}: no such stage", expected=" or ".join(names), got=stage)
    if request.until is None:
        return names
    return names[: names.index(request.until) + 1]


def _require_metric_weights(params: dict[str, Any]) -> None:
    """Says now what `evaluate` would say after all the training: the protocol may ask for networks."""
    asked = preset(check(EvaluateConfig, params["evaluate"], f"{PARAMS_FILE}, section evaluate").protocol)
    samples = check(RolloutConfig, params["rollout"], f"{PARAMS_FILE}, section rollout").max_samples
    place = weights_directory()
    needed = networks_needed(asked, samples)
    missing = [name for name in needed if not is_installed(WEIGHTS[name], place)]
    if missing:
        raise MissingDependencyError(
            f"{REPORT_STAGE} needs weights that are not in {place}, or are damaged there",
            expected=", ".join(needed),
            got=f"no {', '.join(missing)}",
            fix=f"{FETCH_COMMAND}; or go as far as the stage before: --until rollout",
        )


def networks_needed(asked: Preset, samples: int) -> list[str]:
    """The ids of the weights that a protocol needs to measure at most so many generated samples."""
    needed = set()
    if asked.reconstruction is not None:
        needed |= {f"lpips-{net}" for net in asked.reconstruction.lpips}
        needed |= {"dists-v0.1", "lpips-vgg"} if asked.reconstruction.dists_stride else set()
    if asked.generation is not None:
        needed |= {f"lpips-{asked.generation.lpips}"} if asked.generation.lpips else set()
        if samples >= asked.generation.min_logs:
            needed |= {"i3d-k400", *(["inception-2015-12-05"] if asked.generation.image_stride else [])}
    return sorted(needed)


def _sources_text(sources: list[ResolvedSource]) -> str:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / Path(SOURCES_FILE).name
        write_sources(path, sources)
        return path.read_text()


def _tags(run: RunRecord) -> dict[str, str]:
    return {
        "worldmodel.run_id": run.run_id,
        "worldmodel.snapshot": run.snapshot,
        "worldmodel.dirty": str(run.dirty).lower(),
        "worldmodel.profile": run.profile,
        "worldmodel.data": ", ".join(source["name"] for source in run.sources),
    }


@contextmanager
def _held(state: Path, snapshot: Snapshot, reporter: Reporter) -> Iterator[None]:
    """The snapshot's workspace, for this driver alone; follows an identical run until it ends."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(workspace_lock(state, snapshot.key))
                break
            except BlockingIOError:
                _follow_twin(state, snapshot, reporter)
        yield


def _follow_twin(state: Path, snapshot: Snapshot, reporter: Reporter) -> None:
    twin = next((r for r in Runs(state).newest_first() if r.key == snapshot.key), None)
    reporter.say(f"the same run is at work ({twin.run_id if twin else snapshot.key}); following it")
    while is_locked(state, snapshot.key):
        for run_dir in sorted((state / "workspaces" / snapshot.key / "run").glob("*/")):
            if progress := read_progress(run_dir):
                reporter.stage_progress(run_dir.name, progress)
        time.sleep(0.5)
    reporter.say("it ended; going on from what it left")


def _require_ignored(checkout: Path, state: Path) -> None:
    """Refuses a state directory that the snapshot would swallow.

    Raises:
        WorkspaceError: it lies in the checkout and git does not ignore it.
    """
    if state.is_relative_to(checkout) and not is_ignored(checkout, state):
        raise WorkspaceError(
            f"{state} lies in the checkout, and git does not ignore it: it would become part of every snapshot",
            fix=f"add /{state.relative_to(checkout)}/ to .gitignore, or set WORLDMODEL_STATE to a folder elsewhere",
        )
