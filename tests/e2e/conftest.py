"""Clones of this project, each with a state of its own, run with this interpreter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data" / "dgp_street"


class Clone:
    """A clone of the project and the command line in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / ".worldmodel"
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=clone"]):
            subprocess.run(["git", *command], cwd=root, check=True)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`worldmodel ARGUMENTS`, with the clone's own code and no server configured."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "WORLDMODEL"))}
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, expect: tuple[int, ...] = (0,)) -> Any:
        """A command with `--json` to its end; its document."""
        process = self.start(*arguments, "--json")
        output, errors = process.communicate(timeout=1200)
        assert process.returncode in expect, f"exit {process.returncode}\n{output}\n{errors}"
        return json.loads(output)

    def workspace(self, record: dict[str, Any]) -> Path:
        """Where a run worked."""
        return self.state / "workspaces" / str(record["key"])


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A fresh clone."""
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def debug_run(clone: Clone) -> dict[str, Any]:
    """The record of one whole run at debug size, from a fresh clone."""
    return dict(clone.run("run", "--profile", "debug", expect=(0, 3)))
