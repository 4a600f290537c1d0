"""A driver killed right after it moved the alias: the next run records the one before, and all of it verifies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
KILLED = """
import os, signal
import flows.driver as driver

real = driver.promote

def promote_and_die(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

driver.promote = promote_and_die
from flows.cli import main
main()
"""


def test_a_run_killed_between_promotion_and_its_record_is_recorded_by_the_next(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "WORLDMODEL"))}
    command = [sys.executable, "-c", KILLED, "run", "--profile", "debug", "--json"]
    killed = subprocess.run(command, cwd=clone.root, env=inherited, capture_output=True, text=True, timeout=1200)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    entries = clone.run("audit", "ledger", "--limit", "100")
    assert [entry["kind"] for entry in entries][-1] == "promotion.completed"
    second = clone.run("run", "--profile", "debug")
    assert second["status"] == "already_champion"
    recorded = clone.run("audit", "ledger", "--kind", "run.recorded")
    assert len(recorded) == 2 and recorded[0]["body"]["run_id"] != second["run_id"]
    assert clone.run("audit", "verify")["findings"] == []
