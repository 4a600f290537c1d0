"""The harness: whole outputs or none, clear errors, one writer, and the workspace's own code."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.environment import stage_environment
from flows.inputs import input_digest
from flows.manifest import read_manifest, write_manifest
from flows.pipeline import read_state
from flows.signing.keys import SECRET_VARIABLES
from worldmodel.errors import DataError


def run_stage(root: Path, name: str, **options: object) -> "subprocess.CompletedProcess[str]":
    """A stage as DVC starts it."""
    environment = {**os.environ, "WORLDMODEL_STATE": str(root / ".worldmodel"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", f"flows.stages.{name}"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


def test_the_manifest_names_every_file_and_depends_on_nothing_else(toy_project: Path) -> None:
    assert run_stage(toy_project, "one").returncode == 0
    manifest = read_manifest(toy_project / "artifacts" / "one")
    assert list(manifest["files"]) == ["count.json"] and manifest["stage"] == "one"
    assert not list((toy_project / "artifacts").glob(".*")), "nothing half-written stays"
    again = write_manifest(toy_project / "artifacts" / "one", "one")
    assert again == manifest


def test_a_stage_without_its_input_says_which_stage_to_run(toy_project: Path) -> None:
    result = run_stage(toy_project, "two")
    assert result.returncode == 1
    error = read_state(toy_project / "run" / "two")["error"]
    assert "no finished output of one" in error["what"] and error["fix"] == "worldmodel run --until one"
    assert not (toy_project / "artifacts" / "two").exists()


def test_code_from_outside_the_workspace_is_refused(toy_project: Path) -> None:
    (toy_project / "evaluation" / "__init__.py").unlink()
    (toy_project / "evaluation").rename(toy_project / "elsewhere")
    result = run_stage(toy_project, "one")
    assert result.returncode == 1
    error = read_state(toy_project / "run" / "one")["error"]
    assert "evaluation was imported from outside the workspace" in error["what"]


def test_a_full_disk_is_told_plainly_and_leaves_nothing(toy_project: Path) -> None:
    stage = toy_project / "flows" / "stages" / "one.py"
    stage.write_text(
        stage.read_text().replace('(stage.out / "count.json").write_text(', 'Path("/dev/full").write_text(')
    )
    stage.write_text(stage.read_text().replace("import json\n", "import json\nfrom pathlib import Path\n", 1))
    result = run_stage(toy_project, "one")
    assert result.returncode == 1
    error = read_state(toy_project / "run" / "one")["error"]
    assert "the disk is full" in error["what"] and "MiB free" in error["got"] and "WORLDMODEL_STATE" in error["fix"]
    assert not (toy_project / "artifacts" / "one").exists()


def test_an_unexpected_error_keeps_its_traceback_in_the_log(toy_project: Path) -> None:
    params = toy_project / "params.yaml"
    params.write_text(params.read_text().replace("steps: 3", "steps: 3\n  fail_at: 0", 1))
    result = run_stage(toy_project, "one")
    assert result.returncode == 1 and "Traceback" in result.stderr
    assert "ValueError: told to fail at step 0" in read_state(toy_project / "run" / "one")["error"]["what"]


def test_a_second_writer_waits(toy_project: Path) -> None:
    (toy_project / "run").mkdir()
    with (toy_project / "run" / ".stage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-m", "flows.stages.one"], cwd=toy_project, timeout=3, capture_output=True)
    assert run_stage(toy_project, "one").returncode == 0


def test_the_input_digest_follows_code_params_and_data_and_nothing_else(toy_project: Path) -> None:
    before = input_digest(toy_project, "one")
    (toy_project / "README.md").write_text("not an input")
    assert input_digest(toy_project, "one") == before
    for path in ("params.yaml", "flows/stages/one.py"):
        original = (toy_project / path).read_text()
        (toy_project / path).write_text(original.replace("seed", "seed ", 1).replace("seed : 7", "seed: 8"))
        assert input_digest(toy_project, "one") != before, path
        (toy_project / path).write_text(original)


@pytest.mark.parametrize("content", [None, "{", '{"schema_version": "other/9"}'])
def test_a_missing_or_foreign_manifest_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_progress_is_whole_whenever_it_is_read(toy_project: Path) -> None:
    assert run_stage(toy_project, "one").returncode == 0
    assert json.loads((toy_project / "run" / "one" / "progress.json").read_text()) == {
        "done": 3,
        "total": 3,
        "unit": "steps",
    }


def kinds_of_events(root: Path, name: str) -> list[str]:
    """What the stage's events say happened."""
    return [json.loads(line)["eventType"] for line in (root / "run" / name / "events.ndjson").read_text().splitlines()]


def test_a_stage_that_goes_on_keeps_its_events_and_one_that_starts_anew_does_not(toy_project: Path) -> None:
    params = toy_project / "params.yaml"
    params.write_text(params.read_text().replace("seconds_per_step: 0.0", "seconds_per_step: 0.25", 1))
    environment = {**os.environ, "WORLDMODEL_STATE": str(toy_project / ".worldmodel")}
    command = [sys.executable, "-m", "flows.stages.one"]
    process = subprocess.Popen(command, cwd=toy_project, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (toy_project / "run" / "one" / "metrics.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    assert run_stage(toy_project, "one").returncode == 0
    assert kinds_of_events(toy_project, "one") == ["START", "ABORT", "START", "COMPLETE"]
    shutil.rmtree(toy_project / ".worldmodel" / "resume")  # as the driver does once the stage is recorded
    assert run_stage(toy_project, "one").returncode == 0
    assert kinds_of_events(toy_project, "one") == ["START", "COMPLETE"]


def test_the_events_of_a_failure_are_no_part_of_any_output(toy_project: Path) -> None:
    assert run_stage(toy_project, "one").returncode == 0
    before = read_manifest(toy_project / "artifacts" / "one")
    assert run_stage(toy_project, "three").returncode == 1, "two is not there"
    assert kinds_of_events(toy_project, "three") == ["START", "FAIL"]
    assert read_manifest(toy_project / "artifacts" / "one") == before
    assert not list((toy_project / "artifacts").rglob("events*"))


def test_no_key_is_in_the_environment_of_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRET_VARIABLES:
        monkeypatch.setenv(name, "a secret of the driver")
    assert "a secret of the driver" not in stage_environment(tmp_path).values()


def test_a_stage_imports_no_signing_code(toy_project: Path) -> None:
    code = "import sys, flows.stages.one; print([m for m in sys.modules if m.startswith(('flows.signing', 'crypto'))])"
    result = subprocess.run([sys.executable, "-c", code], cwd=toy_project, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "[]"
