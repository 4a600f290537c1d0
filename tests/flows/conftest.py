"""A small project with real git, DVC and stages: three stages that count, save and can be stopped anywhere."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.embedded import EmbeddedPrefect
from flows.environment import telemetry_off
from flows.git import git
from flows.pipeline import read_state

ROOT = Path(__file__).parents[2]

STAGE = '''
import json
import time

from pydantic import BaseModel, ConfigDict

from flows.stage import Stage, main


class CountConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: int = 3
    seconds_per_step: float = 0.0
    fail_at: int | None = None


def run(stage: Stage[CountConfig]) -> None:
    """Adds up seed + step, a step at a time, after what the stage before it counted."""
    before = {before!r}
    total = json.loads((stage.input(before) / "count.json").read_text())["total"] if before else 0
    first = 0
    saved = stage.resume_dir / "saved.json"
    if saved.exists():
        first, total = json.loads(saved.read_text())
        stage.say(f"goes on at step {{first}}")
    for step in range(first, stage.params.steps):
        if step == stage.params.fail_at:
            raise ValueError(f"told to fail at step {{step}}")
        time.sleep(stage.params.seconds_per_step)
        total += stage.seed + step
        stage.log_metrics(step, total=total)
        stage.progress(step + 1, stage.params.steps, "steps")
        aside = saved.with_suffix(".part")
        aside.write_text(json.dumps([step + 1, total]))
        aside.rename(saved)
        stage.check_stop()
    (stage.out / "count.json").write_text(json.dumps({{"total": total}}))


if __name__ == "__main__":
    main({name!r}, CountConfig, run)
'''
PROFILE = """
from pathlib import Path

Profile = None


def profile_path(checkout: Path, name: str) -> Path:
    return checkout / "params.yaml"


def read_profile(path: Path) -> None:
    return None
"""
TOY_STAGES = {"one": None, "two": "one", "three": "two"}


def write_toy_project(root: Path, seconds_per_step: float = 0.0) -> None:
    """Fills `root` with the platform's own packages and three toy stages, and commits it."""
    for package in ("flows", "evaluation", "worldmodel", ".dvc"):
        shutil.copytree(
            ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
        )
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    (root / "flows" / "profile.py").write_text(PROFILE)  # the platform's own mirrors its real stages
    params, stages = "seed: 7\nthreads: 1\n", "stages:\n"
    for name, before in TOY_STAGES.items():
        module = f"flows/stages/{name}.py"
        (root / module).write_text(STAGE.format(name=name, before=before))
        params += f"{name}:\n  steps: 3\n  seconds_per_step: {seconds_per_step}\n"
        deps = [module, *([f"artifacts/{before}"] if before else [])]
        stages += f"  {name}:\n    cmd: exec python -m flows.stages.{name}\n    deps: [{', '.join(deps)}]\n"
        stages += f"    params: [seed, threads, {name}]\n    outs: [artifacts/{name}]\n"
    (root / "params.yaml").write_text(params)
    (root / "dvc.yaml").write_text(textwrap.dedent(stages))
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Toy project")


@pytest.fixture
def toy_project(tmp_path: Path) -> Path:
    """A checkout with three toy stages."""
    root = tmp_path / "checkout"
    root.mkdir()
    write_toy_project(root)
    return root


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One Prefect server and one MLflow store for all toy runs, named by the usual variables."""
    state = tmp_path_factory.mktemp("servers")
    server = EmbeddedPrefect(state, {**os.environ, **telemetry_off(), "PREFECT_HOME": str(state / "prefect")})
    server.wait()
    yield {"PREFECT_API_URL": server.api_url, "MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}"}
    server.stop()


class Toy:
    """A toy checkout and the command line in it, in processes of their own."""

    def __init__(self, root: Path, servers: dict[str, str]) -> None:
        self.root, self.state = root, root / ".worldmodel"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "WORLDMODEL"))}
        self.environment = {**inherited, **servers, "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`worldmodel ARGUMENTS` with the checkout's own code."""
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """A command with `--json`, to its end; its document."""
        process = self.start(*arguments, "--json")
        output, errors = process.communicate(timeout=240)
        assert process.returncode == expect, f"exit {process.returncode}\n{output}\n{errors}"
        return dict(json.loads(output))

    def wait_until_counting(self, driver: "subprocess.Popen[str]", stage: str) -> int:
        """Returns the stage's pid once it has counted a step in this life."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and driver.poll() is None:
            for run_dir in self.state.glob(f"workspaces/*/run/{stage}"):
                state, metrics = read_state(run_dir), run_dir / "metrics.jsonl"
                if state.get("status") == "running" and psutil.pid_exists(state["pid"]) and metrics.is_file():
                    return int(state["pid"])
            time.sleep(0.02)
        driver.kill()
        raise AssertionError(f"stage {stage} never counted: {driver.communicate()}")

    def total(self) -> int:
        """What the last stage counted, in the only workspace."""
        (path,) = self.state.glob("workspaces/*/artifacts/three/count.json")
        return int(json.loads(path.read_text())["total"])


@pytest.fixture
def toy(toy_project: Path, servers: dict[str, str]) -> Toy:
    """The toy project with a command line."""
    return Toy(toy_project, servers)
