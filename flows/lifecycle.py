"""The Prefect flow `lifecycle`: one task a stage, then register, decide and promote.

Prefect says when, where and how often; what is done is in `flows.driver`. Only what a second try can mend is retried: a
preempted stage and a lost connection. Prefect's own task cache is off: DVC alone says what is out of date.
"""

import os
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import requests
from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.states import Completed
from prefect.tasks import Task

from evaluation.decision import Decision
from evaluation.report import Report
from flows.driver import Driver, Request
from flows.environment import apply_defaults, state_dir
from flows.git import find_checkout
from flows.opening import opened
from flows.reporter import Reporter
from flows.runs import RunRecord, Status
from worldmodel.errors import Preempted

EXIT_PROMOTED, EXIT_FAILED, EXIT_REFUSED = 0, 1, 3
STATUS: dict[str, Status] = {"promote": "promoted", "refuse": "refused", "already_champion": "already_champion"}
RETRY_DELAYS_S = [2, 30, 120]

_driver: ContextVar[Driver] = ContextVar("driver")


def mendable(_task: Task[Any, Any], _run: TaskRun, state: State) -> bool:
    """Whether trying again can help: a preempted stage, a lost connection."""
    try:
        state.result()
    except (Preempted, ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout):
        return True
    except BaseException:
        return False
    return False


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
    result = _driver.get().bring_up_to_date(stage)
    name = {"cached": "Cached", "restored": "Cached", "ran": "Completed"}[result.outcome]
    return Completed(name=name, message=f"{result.outcome} in {result.seconds:.1f} s")


@task(**_options)
def register() -> str | None:
    """The model in the registry, under the alias `challenger`."""
    return _driver.get().register()


@task(**_options)
def decide() -> tuple[Decision, str | None]:
    """The gate's decision, and the champion's version that it saw."""
    decision, champion = _driver.get().decide()
    rules = [{"rule": r.id, "verdict": r.verdict, "sentence": r.sentence} for r in decision.rules]
    create_table_artifact(rules or [{"rule": "-", "verdict": "-", "sentence": decision.summary}], "decision")
    create_markdown_artifact(f"**{decision.verdict}**: {decision.summary}", "verdict")
    if (report := _driver.get().report()) is not None:
        create_table_artifact(_metric_rows(report), "metrics")
    return decision, champion


@task(**_options)
def promote(version: str, expected: str | None) -> None:
    """The alias `champion`, moved by compare-and-set."""
    _driver.get().promote(version, expected)


def _metric_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {"source": f"{g.source}/{g.split}", "metric": m.id, "region": m.region, "value": m.value, "clips": m.n_clips}
        for g in report.groups
        for m in g.metrics
    ]


@flow(name="lifecycle", flow_run_name="lifecycle-{profile}", persist_result=False, validate_parameters=True)
def lifecycle(
    profile: str = "tiny",
    data: tuple[str, ...] = ("synthetic",),
    until: str | None = None,
    force: str | None = None,
) -> dict[str, Any]:
    """From driving logs to a gated, registered model; returns the run's record.

    Inside `worldmodel run` the driver is open already; a worker that starts the flow opens one here.
    """
    if (driver := _driver.get(None)) is not None:
        return _lifecycle(driver).__dict__
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    apply_defaults(state)
    with opened(checkout, state, Request(profile, data, until, force), Reporter()) as driver:
        token = _driver.set(driver)
        try:
            return _lifecycle(driver).__dict__
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


def _lifecycle(driver: Driver) -> RunRecord:
    for stage in driver.stages:
        bring_up_to_date(stage)
    if not driver.complete:
        driver.runs.finish(driver.record, "stopped_early", EXIT_PROMOTED)
        return driver.record
    version = register()
    decision, champion = decide()
    if decision.verdict == "promote" and version is not None:
        promote(version, champion)
    _link(driver)
    driver.runs.finish(
        driver.record, STATUS[decision.verdict], EXIT_REFUSED if decision.verdict == "refuse" else EXIT_PROMOTED
    )
    return driver.record


def _link(driver: Driver) -> None:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http") and driver.tracker.parent:
        create_link_artifact(f"{uri.rstrip('/')}/#/runs/{driver.tracker.parent}", link_text="MLflow run", key="mlflow")
