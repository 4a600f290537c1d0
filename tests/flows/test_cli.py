"""The command line as its users meet it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flows.cli import app

QUESTIONS = {"champion", "trace", "impact", "disjoint", "validations", "diff", "rejected", "rebuild", "verify"}
GROUPS = {
    "metrics": {"fetch-weights", "protocols"},
    "gate": {"explain", "replay"},
    "audit": QUESTIONS
    | {"tombstones", "export", "card", "ledger", "reconcile", "index"}
    | {"keygen", "keys", "trust", "revoke", "backup", "restore", "anchor"},
    "data": {"recall", "reinstate", "recalls"},
}
COMMANDS = {
    *("run", "status", "runs", "show", "evaluate", "compare", "cancel", "up", "doctor", "gc"),
    *("approve", "promote", "rollback"),
    *GROUPS,
}


def worldmodel(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "WORLDMODEL"))}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_command_is_there_and_takes_json() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == COMMANDS
    groups = {name: commands.pop(name).commands for name in GROUPS}
    assert {name: set(below) for name, below in groups.items()} == GROUPS
    for name, command in [*commands.items(), *(item for below in groups.values() for item in below.items())]:
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, name


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from typer.testing import CliRunner; from flows.cli import app\n"
    code += "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
    code += "heavy = ('torch', 'prefect', 'mlflow', 'dvc', 'pandas', 'numpy', 'pydantic')\n"
    code += "print([name for name in heavy if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_outside_a_checkout_the_error_is_one_sentence_and_a_way_out(tmp_path: Path) -> None:
    result = worldmodel("runs", cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.startswith("error: git rev-parse")


def test_errors_are_json_when_asked(toy_project: Path) -> None:
    result = worldmodel("show", "nothing", "--json", cwd=toy_project)
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"] == {
        "type": "WorkspaceError",
        "what": "no run matches 'nothing'",
        "expected": "",
        "got": "no runs yet",
        "fix": "give the whole id: worldmodel runs",
    }


def test_before_the_first_run_the_commands_that_look_say_so(toy_project: Path) -> None:
    assert json.loads(worldmodel("runs", "--json", cwd=toy_project).stdout) == []
    status = json.loads(worldmodel("status", "--json", cwd=toy_project).stdout)
    assert (status["at_work"], status["newest"], status["champions"]) == ([], None, {})
    assert not (toy_project / ".worldmodel" / "mlflow.db").exists(), "looking makes nothing"


def test_wrong_usage_exits_with_2(toy_project: Path) -> None:
    assert worldmodel("run", "--no-such-option", cwd=toy_project).returncode == 2


@pytest.mark.parametrize("data", ["lidar:/nowhere", "dgp:/nowhere", "synthetic:/nowhere"])
def test_an_unknown_data_spec_is_refused_before_anything_starts(toy_project: Path, data: str) -> None:
    result = worldmodel("run", "--data", data, cwd=toy_project)
    assert result.returncode == 1 and f"--data {data}" in result.stderr and "Traceback" not in result.stderr
    assert not (toy_project / ".worldmodel" / "runs").exists()


def test_a_state_directory_that_the_snapshot_would_swallow_is_refused(toy_project: Path) -> None:
    result = worldmodel("run", cwd=toy_project, WORLDMODEL_STATE=str(toy_project / "state"))
    assert result.returncode == 1 and "git does not ignore it" in result.stderr and "/state/" in result.stderr
