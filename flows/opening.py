"""Opening a run: params, data, snapshot, workspace, and what is out of date in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.driver import Driver, Request, read_progress
from flows.environment import stage_environment
from flows.pipeline import stage_names, stale_stages
from flows.profile import profile_path, read_profile
from flows.reporter import Reporter
from flows.runs import RunRecord, Runs
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
from worldmodel.errors import ParamsError, Preempted

LOCAL_SOURCES, DIGEST_CACHE = "sources.local.json", "digests.json"
MIN_FREE_MIB = 1024


@contextmanager
def opened(checkout: Path, state: Path, request: Request, reporter: Reporter) -> Iterator[Driver]:
    """A driver that holds its workspace; on the way out the record is closed, whatever happened.

    If the very same run is at work already, waits for it, and then finds its stages done.

    Raises:
        ParamsError, DataError, WorkspaceError: what was asked for cannot be run.
    """
    state.mkdir(parents=True, exist_ok=True)
    require_space(state, MIN_FREE_MIB)
    profile = profile_path(checkout, request.profile)
    read_profile(profile)
    sources = resolve_specs(request.data, state / DIGEST_CACHE)
    remember_paths(state / LOCAL_SOURCES, sources)
    snapshot = take_snapshot(checkout, profile.read_text(), _sources_text(sources))
    _wait_for_twin(state, snapshot, reporter)
    with workspace_lock(state, snapshot.key):
        workspace = open_workspace(checkout, state, snapshot)
        stages = _asked_for(stage_names(workspace), request)
        environment = stage_environment(state)
        stale = stale_stages(workspace, environment)
        runs = Runs(state)
        rows = [{"name": s.name, "adapter": s.adapter, "digest": s.digest} for s in sources]
        run = runs.create(
            snapshot.key, profile=request.profile, commit=snapshot.commit, dirty=snapshot.dirty, sources=rows
        )
        record(checkout, run.run_id, snapshot)
        reporter.run_opened(run, stages, workspace)
        tracker = Tracker(reporter.say)
        tracker.start(run.run_id, _tags(run))
        driver = Driver(
            checkout, state, request, snapshot, workspace, run, runs, reporter, tracker, stages, stale, environment
        )
        with _closing(driver):
            yield driver


@contextmanager
def _closing(driver: Driver) -> Iterator[None]:
    """Closes the record and the MLflow run, however the run ended."""
    record_, runs = driver.record, driver.runs
    try:
        yield
    except BaseException as error:
        cancelled = isinstance(error, KeyboardInterrupt | Preempted) or not isinstance(error, Exception)
        runs.finish(record_, "cancelled" if cancelled else "failed", 1, str(error) or type(error).__name__)
        driver.tracker.finish("KILLED" if cancelled else "FAILED", {"worldmodel.status": record_.status})
        raise
    finally:
        driver.publish()
        runs.save(record_)
    driver.tracker.finish("FINISHED", {"worldmodel.status": record_.status, "worldmodel.commit": record_.commit})


def _asked_for(names: list[str], request: Request) -> list[str]:
    for option, stage in (("--until", request.until), ("--force", request.force)):
        if stage is not None and stage not in names:
            raise ParamsError(f"{option} {stage}: no such stage", expected=" or ".join(names), got=stage)
    if request.until is None:
        return names
    return names[: names.index(request.until) + 1]


def _sources_text(sources: list[ResolvedSource]) -> str:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / Path(SOURCES_FILE).name
        write_sources(path, sources)
        return path.read_text()


def _tags(run: RunRecord) -> dict[str, str]:
    return {
        "worldmodel.run_id": run.run_id,
        "worldmodel.commit": run.commit,
        "worldmodel.dirty": str(run.dirty).lower(),
        "worldmodel.profile": run.profile,
        "worldmodel.data": ", ".join(source["name"] for source in run.sources),
    }


def _wait_for_twin(state: Path, snapshot: Snapshot, reporter: Reporter) -> None:
    """Follows an identical run until it ends."""
    told = False
    while is_locked(state, snapshot.key):
        if not told:
            twin = next((r for r in Runs(state).newest_first() if r.key == snapshot.key), None)
            reporter.say(f"the same run is at work ({twin.run_id if twin else snapshot.key}); following it")
            told = True
        for run_dir in sorted((state / "workspaces" / snapshot.key / "run").glob("*/")):
            if progress := read_progress(run_dir):
                reporter.stage_progress(run_dir.name, progress)
        time.sleep(0.5)
    if told:
        reporter.say("it ended; going on from what it left")
