"""The lifecycle on three toy stages, in real processes: nothing twice, two at a time, and killed anywhere."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
import yaml

from flows.git import git
from tests.flows.conftest import TOY_STAGES, Toy

SLOW_STEPS = 0.4
UNDISTURBED = 3 * (7 + 8 + 9)


def set_param(root: Path, stage: str, key: str, value: object) -> None:
    """Edits params.yaml as a user would."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params[stage][key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def outcomes(record: dict) -> dict[str, str]:
    return {name: facts["outcome"] for name, facts in record["stages"].items()}


def test_a_second_run_starts_no_stage_and_one_changed_param_reruns_its_stage_and_what_depends_on_it(toy: Toy) -> None:
    assert set(outcomes(toy.run("run", "--until", "three")).values()) == {"ran"}
    assert toy.total() == UNDISTURBED
    assert set(outcomes(toy.run("run", "--until", "three")).values()) == {"cached"}
    set_param(toy.root, "two", "steps", 4)
    changed = toy.run("run", "--until", "three")
    assert outcomes(changed) == {"one": "restored", "two": "ran", "three": "ran"}
    reasons = toy.run("show", "latest", "--why")["why"]
    assert reasons == {"one": [], "two": ["param two.steps: 3 -> 4"], "three": ["dep artifacts/two: changed"]}
    forced = toy.run("run", "--until", "three", "--force", "three")
    assert outcomes(forced) == {"one": "cached", "two": "cached", "three": "ran"}
    assert not list((toy.state / "resume").iterdir())


def test_the_snapshot_leaves_the_checkout_alone_and_its_ref_holds_the_lock_file(toy: Toy) -> None:
    (toy.root / "untracked.txt").write_text("part of the snapshot")
    before = git(toy.root, "status", "--porcelain"), git(toy.root, "rev-parse", "HEAD")
    record = toy.run("run", "--until", "one")
    assert record["dirty"]
    assert (git(toy.root, "status", "--porcelain"), git(toy.root, "rev-parse", "HEAD")) == before
    ref = f"refs/worldmodel/runs/{record['run_id']}"
    assert "artifacts/one" in git(toy.root, "show", f"{ref}:dvc.lock")
    assert git(toy.root, "show", f"{ref}:untracked.txt") == "part of the snapshot"


@pytest.mark.parametrize(("victim", "stage"), [("driver", "one"), ("dvc", "two"), ("stage", "three")])
def test_killed_with_9_the_next_run_goes_on_and_ends_the_same(toy: Toy, victim: str, stage: str) -> None:
    set_param(toy.root, stage, "seconds_per_step", SLOW_STEPS)
    set_param(toy.root, stage, "steps", 20)
    process = toy.start("run", "--until", "three")
    stage_pid = toy.wait_until_counting(process, stage)
    dvc_pid = psutil.Process(stage_pid).ppid()
    assert "dvc" in psutil.Process(dvc_pid).cmdline()
    os.kill({"driver": process.pid, "dvc": dvc_pid, "stage": stage_pid}[victim], signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if victim == "driver" else 1)
    _, alive = psutil.wait_procs([psutil.Process(p) for p in (stage_pid, dvc_pid) if psutil.pid_exists(p)], timeout=2)
    assert not alive, "an orphan was left"
    record = toy.run("run", "--until", "three")
    done = list(TOY_STAGES).index(stage)
    assert list(outcomes(record).items()) == list(zip(TOY_STAGES, ["cached"] * done + ["ran"] * 3, strict=False))
    log = next(toy.state.glob(f"workspaces/*/run/{stage}/log.txt")).read_text()
    assert "goes on at step" in log
    assert toy.total() == 2 * (7 + 8 + 9) + sum(7 + step for step in range(20))


def test_cancel_stops_the_stage_after_it_saved_and_leaves_no_process(toy: Toy) -> None:
    set_param(toy.root, "one", "seconds_per_step", SLOW_STEPS)
    set_param(toy.root, "one", "steps", 200)
    process = toy.start("run", "--until", "one")
    stage_pid = toy.wait_until_counting(process, "one")
    family = psutil.Process(process.pid).children(recursive=True)
    result = toy.run("cancel", "latest")
    assert (result["status"], result["killed"]) == ("cancelled", False)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert not [child for child in family if child.is_running()] and not psutil.pid_exists(stage_pid)
    (saved,) = toy.state.glob("resume/one-*/saved.json")
    assert saved.stat().st_size


def test_a_preempted_stage_is_tried_again_and_goes_on(toy: Toy) -> None:
    set_param(toy.root, "one", "seconds_per_step", SLOW_STEPS)
    process = toy.start("run", "--until", "one")
    os.kill(toy.wait_until_counting(process, "one"), signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "goes on at step" in next(toy.state.glob("workspaces/*/run/one/log.txt")).read_text()


def test_an_identical_run_waits_and_a_different_one_runs_beside_it(toy: Toy) -> None:
    set_param(toy.root, "one", "steps", 40)
    set_param(toy.root, "one", "seconds_per_step", 0.7)
    first = toy.start("run", "--until", "one", "--json")
    toy.wait_until_counting(first, "one")
    twin = toy.start("run", "--until", "one", "--json")
    assert twin.stderr is not None and "the same run is at work" in twin.stderr.readline()
    set_param(toy.root, "one", "steps", 2)
    assert outcomes(toy.run("run", "--until", "one")) == {"one": "ran"}
    assert first.poll() is None, "the different run should not have waited"
    ended = [outcomes(json.loads(process.communicate(timeout=120)[0])) for process in (first, twin)]
    assert ended == [{"one": "ran"}, {"one": "cached"}]


def test_a_failed_stage_ends_the_run_with_1_and_names_stage_reason_and_log(toy: Toy) -> None:
    set_param(toy.root, "two", "fail_at", 1)
    error = toy.run("run", "--until", "three", expect=1)["error"]
    assert "stage two failed" in error["what"] and "told to fail at step 1" in error["what"]
    assert "run/two/log.txt" in error["fix"]
    assert toy.run("show", "latest")["status"] == "failed"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("one", "stepz", 3), ["params.yaml, section one", "stepz", "steps, seconds_per_step"]),
        (("one", "steps", "many"), ["params.yaml, section one", "steps", "many"]),
    ],
)
def test_a_wrong_params_key_is_named_with_what_was_expected(toy: Toy, edit: tuple, expected: list[str]) -> None:
    set_param(toy.root, *edit)
    error = toy.run("run", "--until", "one", expect=1)["error"]
    for text in expected:
        assert text in " ".join(error.values())


def test_an_unknown_stage_is_refused_before_anything_starts(toy: Toy) -> None:
    assert toy.run("run", "--until", "four", expect=1)["error"]["expected"] == "one or two or three"
    assert not (toy.state / "runs").exists()


def test_with_a_default_remote_the_outputs_are_pushed(toy: Toy, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    config = toy.root / ".dvc" / "config"
    config.write_text(config.read_text() + f"    remote = shelf\n['remote \"shelf\"']\n    url = {remote}\n")
    toy.run("run", "--until", "one")
    lock = yaml.safe_load(next(toy.state.glob("workspaces/*/dvc.lock")).read_text())
    md5 = lock["stages"]["one"]["outs"][0]["md5"]
    assert (remote / "files" / "md5" / md5[:2] / md5[2:]).is_file()
