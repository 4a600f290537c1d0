"""The Prefect flow `lifecycle`: one task a stage, then register, decide and promote.

Prefect says when, where and how often; what is done is in `flows.driver`. Only what a second try can mend is retried: a
preempted stage, a lost connection, a full remote. Prefect's own task cache is off: DVC alone says what is out of date.
"""

import math
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import requests
from prefect import flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.tasks import Task

from evaluation.decision import Decision
from evaluation.report import Report
from flows.driver import Driver, Request
from flows.environment import apply_defaults, shown_address, state_dir
from flows.git import find_checkout
from flows.opening import opened
from flows.reporter import Reporter
from flows.runs import Status
from worldmodel.errors import Preempted, RemoteError

EXIT_PROMOTED, EXIT_FAILED, EXIT_REFUSED, EXIT_AWAITING = 0, 1, 3, 4
STATUS: dict[str, Status] = {"promote": "promoted", "refuse": "refused", "already_champion": "already_champion"}
RETRY_DELAYS_S = [2, 30, 120]
PROGRESS_EVERY_S = 5.0
MENDABLE = (Preempted, RemoteError, ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout)

_driver: ContextVar[Driver] = ContextVar("driver")


def mendable(_task: Task[Any, Any], _run: TaskRun, state: State) -> bool:
    """Whether trying again can help: a preempted stage, a lost connection, a full remote."""
    try:
        state.result()
    except BaseException as error:
        return any(isinstance(cause, MENDABLE) for cause in _causes(error))
    return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came from: MLflow wraps the connection errors that it meets."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_options: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": mendable,
}


@task(task_run_name="{stage}", **_options)
def bring_up_to_date(stage: str) -> State:
    """One DVC stage."""
    result = _driver.get().bring_up_to_date(stage, _Progress(stage))
    name = {"cached": "Cached", "restored": "Cached", "ran": "Completed"}[result.outcome]
    return Completed(name=name, message=f"{result.outcome} in {result.seconds:.1f} s")


class _Progress:
    """A stage's percentage as a Prefect artifact, renewed every few seconds."""

    def __init__(self, stage: str) -> None:
        self._key, self._artifact, self._last = stage.replace("_", "-"), None, -math.inf

    _artifact: UUID | None

    def __call__(self, percent: float) -> None:
        now = time.monotonic()
        if now - self._last < PROGRESS_EVERY_S:
            return
        self._last = now
        try:
            if self._artifact is None:
                created = create_progress_artifact(percent, key=self._key)
                assert isinstance(created, UUID)  # a coroutine only where an event loop runs
                self._artifact = created
            else:
                update_progress_artifact(self._artifact, percent)
        except httpx.HTTPError as error:  # the stage goes on; Prefect notices at its end if its server stays away
            _driver.get().reporter.say(f"Prefect did not take the progress of {self._key}: {error}")
            self._last = math.inf


@task(task_run_name="push", **_options)
def push() -> None:
    """The outputs in the DVC remote."""
    _driver.get().push()


@task(task_run_name="register", **_options)
def register() -> str | None:
    """The model in the registry, under the alias `challenger`."""
    return _driver.get().register()


@task(task_run_name="measure_speed", **_options)
def measure_speed() -> None:
    """The candidate's speed and memory on this machine."""
    _driver.get().measure_speed()


@task(task_run_name="measure_champion", **_options)
def measure_champion() -> None:
    """The champion's measurement, made anew where it was of other data or another protocol."""
    _driver.get().measure_champion()


@task(task_run_name="decide", **_options)
def decide() -> tuple[Decision, str | None]:
    """The gate's decision, and the champion's version that it saw."""
    decision, champion = _driver.get().decide()
    rules = [{"rule": r.id, "verdict": r.verdict, "sentence": r.sentence} for r in decision.rules]
    create_table_artifact(rules or [{"rule": "-", "verdict": "-", "sentence": decision.summary}], "decision")
    create_markdown_artifact(f"**{decision.verdict}**: {decision.summary}", "verdict")
    if (report := _driver.get().report()) is not None:
        create_table_artifact(_metric_rows(report), "metrics")
    return decision, champion


@task(task_run_name="promote", **_options)
def promote(version: str, expected: str | None) -> None:
    """The alias `champion`, moved by compare-and-set."""
    _driver.get().promote(version, expected)


def _metric_rows(report: Report) -> list[dict[str, Any]]:
    """Every number of the report: of reconstructed clips, then of every method's videos."""
    found = [
        (group, "reconstruction", metric, metric.region) for group in report.groups for metric in group.metrics
    ] + [
        (group, method.name, metric, "all")
        for group in report.generation
        for method in group.methods
        for metric in method.metrics
    ]
    return [
        {
            "source": f"{group.source}/{group.split}",
            "method": method,
            "metric": metric.id,
            "region": region,
            "value": metric.value,
            "clips": metric.n_clips,
        }
        for group, method, metric, region in found
    ]


@flow(name="lifecycle", flow_run_name="lifecycle-{profile}", persist_result=False, validate_parameters=True)
def lifecycle(
    profile: str = "tiny",
    data: tuple[str, ...] = ("synthetic",),
    until: str | None = None,
    force: str | None = None,
) -> State:
    """From driving logs to a gated, registered model; ends in a state of the run's status.

    Inside `worldmodel run` the driver is open already; a worker that starts the flow opens one here.
    """
    if (driver := _driver.get(None)) is not None:
        return _lifecycle(driver)
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    apply_defaults(state)
    with opened(checkout, state, Request(profile, data, until, force), Reporter()) as driver:
        token = _driver.set(driver)
        try:
            return _lifecycle(driver)
        finally:
            _driver.reset(token)


def run_with(driver: Driver) -> None:
    """Runs the flow with a driver that is open already."""
    token = _driver.set(driver)
    request = driver.request
    try:
        lifecycle(request.profile, request.data, request.until, request.force)
    finally:
        _driver.reset(token)
        for worker in (APILogWorker, EventsWorker):  # their server may stop right after
            worker.drain_all(timeout=10)


def _lifecycle(driver: Driver) -> State:
    driver.record.flow_run = str(flow_run.id)
    for stage in driver.stages:
        bring_up_to_date(stage)
    if driver.has_remote:
        push()
    if not driver.complete:
        return _end(driver, "stopped_early", EXIT_PROMOTED)
    version = register()
    measure_speed()
    measure_champion()
    decision, champion = decide()
    _link(driver)
    if decision.verdict == "promote" and version is not None:
        if missing := driver.approvals().missing:
            driver.record.decision = f"{decision.summary}; not promoted yet: {missing}"
            return _end(driver, "awaiting_approval", EXIT_AWAITING)
        promote(version, champion)
    return _end(driver, STATUS[decision.verdict], EXIT_REFUSED if decision.verdict == "refuse" else EXIT_PROMOTED)


def _end(driver: Driver, status: Status, exit_code: int) -> State:
    driver.runs.finish(driver.record, status, exit_code)
    return Completed(name=status.replace("_", " ").capitalize(), message=driver.record.decision)


def _link(driver: Driver) -> None:
    """Keeps where to look in the record, and in Prefect."""
    servers = {
        "mlflow": (os.environ.get("MLFLOW_TRACKING_URI", ""), f"#/runs/{driver.tracker.parent}"),
        "prefect": (os.environ.get("PREFECT_API_URL", "").removesuffix("/api"), f"runs/flow-run/{flow_run.id}"),
    }
    if driver.embedded_prefect:
        del servers["prefect"]
    for name, (server, page) in servers.items():
        if server.startswith("http"):
            driver.record.links[name] = f"{shown_address(server).rstrip('/')}/{page}"
            create_link_artifact(driver.record.links[name], link_text=name, key=name)
