"""Every stage of the real pipeline killed with -9 once, and the driver and DVC too: the same model in the end."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.driver import read_progress
from flows.pipeline import read_state
from tests.e2e.conftest import STAGES, Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def wait_for_stage(clone: Clone, driver: Any, stage: str) -> tuple[int, Path]:
    """The pid of a stage that has begun, and the directory where it says how far it is."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and driver.poll() is None:
        for run_dir in clone.state.glob(f"workspaces/*/run/{stage}"):
            state = read_state(run_dir)
            if state.get("status") == "running" and psutil.pid_exists(state["pid"]):
                return int(state["pid"]), run_dir
        time.sleep(0.02)
    raise AssertionError(f"{stage} never ran: {driver.communicate()}")


def wait_for_work(run_dir: Path, process_s: float) -> None:
    """Until the stage says that a third is done; if it says nothing, for a third of its undisturbed time."""
    deadline = time.monotonic() + process_s / 3
    while time.monotonic() < deadline:
        progress = read_progress(run_dir)
        if progress and 3 * progress["done"] >= progress["total"]:
            return
        time.sleep(0.02)


def test_each_stage_killed_once_ends_with_the_model_of_an_undisturbed_run(
    clone: Clone, debug_run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    disturbed = Clone(tmp_path_factory.mktemp("disturbed"), clone.root)
    for number, stage in enumerate(STAGES):
        driver = disturbed.start("run", "--profile", "debug", "--json")
        stage_pid, run_dir = wait_for_stage(disturbed, driver, stage)
        wait_for_work(run_dir, debug_run["stages"][stage]["process_s"])
        victims = {"stage": stage_pid, "dvc": psutil.Process(stage_pid).ppid(), "driver": driver.pid}
        assert "dvc" in psutil.Process(victims["dvc"]).cmdline()
        victim = list(victims)[number % 3]
        os.kill(victims[victim], signal.SIGKILL)
        driver.communicate(timeout=120)
        assert driver.returncode == (-signal.SIGKILL if victim == "driver" else 1), f"{victim} of {stage}"
        assert read_state(run_dir)["status"] != "finished", f"{stage} ended before it could be killed"
    record = disturbed.run("run", "--profile", "debug", expect=(0, 3))
    assert record["model"]["sha256"] == debug_run["model"]["sha256"]
    assert record["status"] == debug_run["status"]
