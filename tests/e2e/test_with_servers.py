"""The same command, unchanged, against real servers named by the usual variables, and the flow through a worker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from flows.servers import Links
from tests.e2e.conftest import Clone
from tests.flows.test_servers import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def links(clone: Clone) -> Iterator[Links]:
    """`worldmodel up` in the clone, until the tests are done; then nothing of it is left."""
    prefect_port, mlflow_port = free_ports(2)
    process = clone.start("up", "--prefect-port", str(prefect_port), "--mlflow-port", str(mlflow_port))
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("Ctrl-C stops all of it."):
        line = process.stdout.readline()
        assert line, f"up ended: {process.communicate()}"
        text += line
    exported = dict(line.split("export ")[1].split("=", 1) for line in text.splitlines() if "export " in line)
    family = psutil.Process(process.pid).children(recursive=True)
    yield Links(exported["PREFECT_API_URL"].strip().removesuffix("/api"), exported["MLFLOW_TRACKING_URI"].strip())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0 and not [child for child in family if child.is_running()]


def test_a_run_uses_the_servers_and_ends_as_without_them(clone: Clone, debug_run: dict[str, Any], links: Links) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", "--profile", "debug", "--json"]
    environment = {**os.environ, **links.environment}
    result = subprocess.run(command, cwd=clone.root, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["status"] == "already_champion" and record["model"]["sha256"] == debug_run["model"]["sha256"]
    flow_runs = httpx.post(f"{links.prefect}/api/flow_runs/filter", json={}).json()
    assert any(run["state_name"] == "Already champion" for run in flow_runs)
    tasks = httpx.post(f"{links.prefect}/api/task_runs/filter", json={"limit": 200}).json()
    assert {task["name"] for task in tasks if task["state_name"] == "Cached"} == set(record["stages"])


def test_the_worker_runs_the_deployment(clone: Clone, debug_run: dict[str, Any], links: Links) -> None:
    deployment = httpx.get(f"{links.prefect}/api/deployments/name/lifecycle/local").json()
    body = {"parameters": {"profile": "debug", "until": "prepare"}}
    created = httpx.post(f"{links.prefect}/api/deployments/{deployment['id']}/create_flow_run", json=body).json()
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        state = httpx.get(f"{links.prefect}/api/flow_runs/{created['id']}").json()["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED"):
            break
        time.sleep(1)
    assert (state["type"], state["name"]) == ("COMPLETED", "Stopped early"), state
    assert clone.run("runs")[0]["status"] == "stopped_early"
