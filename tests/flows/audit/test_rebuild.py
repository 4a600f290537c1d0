"""Rebuilds of a toy model, with real git and DVC: from nothing, after a kill, and where a stage is not repeatable."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.compare import compare
from flows.audit.books import find_model, open_books
from flows.audit.rebuild import REBUILDS, rebuild
from flows.audit.rebuild_plan import stages_behind
from flows.audit.rebuilt import (
    FileDifference,
    Measured,
    Rebuilt,
    StageRebuilt,
    fact_differences,
    measured,
    stage_rebuilt,
)
from flows.bundle import bundle_digest, bundle_digests
from flows.commands.rebuild import rebuild_model
from flows.environment import stage_environment
from flows.git import git
from flows.ledger.bodies import ModelRegistered
from flows.ledger.store import Ledger, ledger_url
from flows.ledger.trust import ensure_trusted
from flows.lineage.recorder import Recorder
from flows.lineage.records import Records
from flows.lineage.surroundings import installed_packages, surroundings
from flows.manifest import read_manifest, write_manifest
from flows.pipeline import StageRun, read_state
from flows.reporter import Reporter
from flows.runs import Runs
from flows.signing.keys import make_key
from flows.workspace import open_workspace, record, take_snapshot
from tests.evaluation import gating
from tests.flows.conftest import write_toy_project
from worldmodel.data.sources import remember_paths, resolve_specs, write_sources
from worldmodel.errors import DataError, ParamsError, RecordError, SigningError, StageError, WorkspaceError

NOISE = "TOY_NOISE"
PSNR = [20.0, 22.0, 21.0, 23.0, 20.5, 21.5, 22.5, 21.2]
PREPARE = """
import os
import shutil

from pydantic import BaseModel

from flows.stage import Stage, main


class Config(BaseModel):
    clips: int


def run(stage: Stage[Config]) -> None:
    (stage.out / "clips.txt").write_text("clip " * stage.params.clips)


if __name__ == "__main__":
    main("prepare", Config, run)
"""
TRAIN = """
import os
import time

from pydantic import BaseModel

from flows.stage import Stage, main


class Config(BaseModel):
    steps: int
    seconds_per_step: float


def run(stage: Stage[Config]) -> None:
    saved, first = stage.resume_dir / "saved", 0
    if saved.exists():
        first = int(saved.read_text())
        stage.say(f"goes on at step {first}")
    for step in range(first, stage.params.steps):
        saved.write_text(str(step + 1))
        stage.progress(step + 1, stage.params.steps, "steps")
        time.sleep(stage.params.seconds_per_step)
    weights = (stage.input("prepare") / "clips.txt").read_bytes() + os.environ.get("TOY_NOISE", "").encode()
    (stage.out / "model.safetensors").write_bytes(weights)
    (stage.out / "config.json").write_text("{}")


if __name__ == "__main__":
    main("train_worldrec", Config, run)
"""
EVALUATE = """
import json
import os

from pydantic import BaseModel

from flows.bundle import bundle_digest
from flows.stage import Stage, main


class Config(BaseModel):
    pass


def run(stage: Stage[Config]) -> None:
    stage.input("train_worldrec")
    text = (stage.root / "reports" / (os.environ.get("TOY_NOISE") or "none")).read_text()
    (stage.out / "report.json").write_text(text.replace("0" * 64, bundle_digest(stage.root / "artifacts")))


if __name__ == "__main__":
    main("evaluate", Config, run)
"""
STAGES = {
    "prepare": (PREPARE, ()),
    "train_worldrec": (TRAIN, ("prepare",)),
    "evaluate": (EVALUATE, ("train_worldrec",)),
}
PARAMS = {
    "seed": 7,
    "threads": 1,
    "prepare": {"clips": 3},
    "train_worldrec": {"steps": 3, "seconds_per_step": 0.4},
    "evaluate": {},
}


@dataclass(frozen=True)
class Toy:
    """A checkout whose only run made version 1 of `toy` out of a recorded drive."""

    root: Path
    state: Path
    drive: Path
    model_sha256: str


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    root = tmp_path_factory.mktemp("toy") / "checkout"
    root.mkdir()
    write_toy_project(root)
    _write_stages(root)
    drive = root.parent / "drive"
    drive.mkdir()
    (drive / "frame.txt").write_text("recorded")
    state = root / ".worldmodel"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDMODEL_SIGNING_KEY", str(root.parent / "key.pem"))
        patch.setenv("WORLDMODEL_STATE", str(state))
        yield Toy(root, state, drive, _run(root, state, drive))


def _write_stages(root: Path) -> None:
    """Three toy stages in place of the platform's, and the reports that the last one chooses from."""
    pipeline: dict[str, Any] = {}
    for name, (code, before) in STAGES.items():
        module = f"flows/stages/{name}.py"
        (root / module).write_text(code)
        pipeline[name] = {
            "cmd": f"exec python -m flows.stages.{name}",
            "deps": [module, *(f"artifacts/{stage}" for stage in before)],
            "params": ["seed", "threads", name],
            "outs": [f"artifacts/{name}"],
        }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": pipeline}, sort_keys=False))
    (root / "reports").mkdir()
    for noise, shift in (("none", 0.0), ("loud", -5.0)):
        report = gating.report(sha256="0" * 64, synthetic={"image/psnr": [value + shift for value in PSNR]})
        (root / "reports" / noise).write_text(json.dumps(report.model_dump(mode="json")))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Toy model")


def _run(root: Path, state: Path, drive: Path) -> str:
    """One run, recorded and registered as the driver does it; DVC is spared, the stages are real."""
    key, ledger = make_key(root.parent / "key.pem"), Ledger.open(ledger_url(state))
    ensure_trusted(ledger, key, "trainer")
    entries = resolve_specs([f"dgp:{drive}"])
    remember_paths(state / "sources.local.json", entries)
    write_sources(root.parent / "sources.json", entries)
    snapshot = take_snapshot(root, yaml.safe_dump(PARAMS), (root.parent / "sources.json").read_text())
    workspace, runs = open_workspace(root, state, snapshot), Runs(state)
    run = runs.create(snapshot.key, profile="tiny", snapshot=snapshot.commit, dirty=False, sources=[])
    (runs.folder(run.run_id) / "packages.json").write_text(json.dumps(installed_packages()))
    recorder = Recorder(Records(state / "records"), ledger, key, run, snapshot, workspace)
    for name, (_, before) in STAGES.items():
        command = [sys.executable, "-m", f"flows.stages.{name}"]
        subprocess.run(command, cwd=workspace, env=stage_environment(state), check=True, capture_output=True)
        lock = {
            "deps": [{"path": f"artifacts/{stage}", "md5": "0" * 32} for stage in before],
            "params": {"params.yaml": {key: PARAMS[key] for key in ("seed", "threads", name)}},
        }
        recorder.stage(name, "ran", lock, surroundings(workspace, 1))
    sha256, parts = bundle_digest(workspace / "artifacts"), bundle_digests(workspace / "artifacts")
    run.model = {"name": "toy", "version": "1", "sha256": sha256, "parts": parts}
    body = ModelRegistered(name="toy", version="1", model_sha256=sha256, run_id=run.run_id, parts=parts)
    ledger.append(body, "trainer")
    runs.finish(run, "promoted", 0)
    record(root, run.run_id, snapshot, recorder.close(runs.folder(run.run_id), "", None).files)
    ledger.close()
    shutil.rmtree(state / "resume")
    return sha256


class Watching(Reporter):
    """Notes the stages that ran; kills one of them, once, when it has counted a step."""

    def __init__(self, toy: Toy, victim: str = "") -> None:
        self.toy, self.victim, self.ran, self.said = toy, victim, list[str](), list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    def stage_progress(self, stage: str, progress: dict[str, Any] | None) -> None:
        if stage == self.victim and progress:
            (run_dir,) = self.toy.state.glob(f"{REBUILDS}/*/workspaces/*/run/{stage}")
            self.victim = ""
            os.kill(int(read_state(run_dir)["pid"]), signal.SIGKILL)

    def stage_done(self, result: StageRun) -> None:
        assert result.outcome == "ran"
        self.ran.append(result.stage)


def rebuilt(toy: Toy, reporter: Reporter | None = None, until: str | None = None, *, keep: bool = False) -> Rebuilt:
    with open_books(toy.state, toy.root) as books:
        return rebuild(books, find_model(books, "toy"), reporter or Watching(toy), until, keep=keep)


def places(toy: Toy) -> list[Path]:
    return sorted((toy.state / REBUILDS).glob("*"))


def test_a_model_is_rebuilt_from_nothing_and_goes_on_after_a_kill(toy: Toy) -> None:
    with pytest.raises(StageError, match="train_worldrec was killed"):
        rebuilt(toy, Watching(toy, victim="train_worldrec"))
    (place,) = places(toy)
    second = Watching(toy)
    found = rebuilt(toy, second, keep=True)
    assert second.ran == ["train_worldrec"], "a finished stage was made twice"
    (log,) = place.glob("workspaces/*/run/train_worldrec/log.txt")
    assert "goes on at step" in log.read_text()
    assert (found.verdict, found.exit_code, found.rebuilt_sha256) == ("identical", 0, toy.model_sha256)
    assert [(stage.stage, stage.seconds is None) for stage in found.stages] == [
        ("prepare", True),
        ("train_worldrec", False),
    ]
    assert found.sentence == "rebuilt, identical: 2 stages and the model, byte for byte"
    assert found.workspace == str(next(place.glob("workspaces/*/artifacts")).parent)
    assert (place / "cache").is_dir() and not (toy.state / "cache").exists(), "the runs' cache was used"
    assert not (toy.state / "resume").exists()
    assert "making 2 stages of run" in second.said[0]
    assert rebuilt(toy, third := Watching(toy)).verdict == "identical"
    assert third.ran == [] and places(toy) == []
    assert "rebuilds" not in git(toy.root, "worktree", "list")


def test_a_stage_that_is_not_repeatable_is_named_and_the_model_is_measured(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(NOISE, "loud")
    monkeypatch.setenv("WORLDMODEL_IMAGE", "another image")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(toy.root)
    assert rebuild_model("toy/1", None, keep=True, as_json=False) == 3
    said = capsys.readouterr().out
    assert "train_worldrec is the first stage that differs" in said and "model.safetensors" in said
    assert "not identical: 3 of 3 intervals tell the two apart" in said and "worse: synthetic/test/image/psnr" in said
    assert "another image" in said
    assert rebuild_model("toy", None, keep=False, as_json=True) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["first_difference"]) == ("different", "train_worldrec")
    assert [stage["identical"] for stage in found["stages"]] == [True, False]
    assert {"fact": "image", "recorded": None, "here": "another image"} in found["surroundings"]
    assert found["measured"]["told_apart"]["synthetic/test/image/psnr"] == "worse"
    assert places(toy) == []


@pytest.mark.parametrize(
    ("shift", "verdict", "code"), [([0.01, -0.01], "within_measurement", 0), ([-5.0, -5.1], "different", 3)]
)
def test_a_difference_that_measurement_cannot_see_is_said_to_be_within(
    shift: list[float], verdict: str, code: int
) -> None:
    stage = StageRebuilt(
        stage="train", recorded="a", rebuilt="b", seconds=1.0, seconds_recorded=1.0, files=(_file("model.safetensors"),)
    )
    facts = {"name": "toy", "version": "1", "run_id": "r", "model_sha256": "c" * 64, "rebuilt_sha256": "d" * 64}
    ours = gating.report(synthetic={"image/psnr": [value + shift[i % 2] for i, value in enumerate(PSNR)]})
    theirs = gating.report(synthetic={"image/psnr": PSNR})
    found = Rebuilt.model_validate({**facts, "stages": (stage,), "measured": measured(compare(ours, theirs))})
    assert (found.verdict, found.exit_code) == (verdict, code)
    assert found.sentence.startswith("not identical")


def _file(path: str) -> FileDifference:
    return FileDifference(path=path, recorded="a", rebuilt="b")


def test_up_to_a_stage_nothing_is_measured(toy: Toy) -> None:
    found = rebuilt(toy, reporter := Watching(toy), until="prepare")
    assert (found.verdict, found.exit_code, reporter.ran) == ("identical_so_far", 0, ["prepare"])
    with pytest.raises(ParamsError, match="no stage that toy version 1 comes from") as raised:
        rebuilt(toy, until="evaluate")
    assert raised.value.expected == "prepare or train_worldrec"


def test_a_source_that_changed_or_is_gone_stops_the_rebuild_before_it_begins(toy: Toy) -> None:
    before, frame = places(toy), toy.drive / "frame.txt"
    frame.write_text("rEcorded")
    try:
        with pytest.raises(DataError, match=r"source drive at .* has changed since it was recorded"):
            rebuilt(toy)
        toy.drive.rename(toy.drive.with_name("elsewhere"))
        with pytest.raises(DataError, match="source drive is not on this machine") as raised:
            rebuilt(toy)
        assert str(toy.drive) in raised.value.got
    finally:
        if not toy.drive.exists():
            toy.drive.with_name("elsewhere").rename(toy.drive)
        frame.write_text("recorded")
    assert places(toy) == before


def test_a_second_rebuild_of_the_same_model_at_once_is_refused(toy: Toy) -> None:
    class Twice(Watching):
        def say(self, text: str) -> None:
            with pytest.raises(WorkspaceError, match="toy version 1 is being rebuilt already"):
                rebuilt(self.toy)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuilt(toy, Twice(toy))
    shutil.rmtree(toy.state / REBUILDS)


def test_records_that_were_altered_are_nothing_to_compare_with(toy: Toy) -> None:
    records = Records(toy.state / "records")
    run = records.run(records.run_ids()[0])
    path = records.run_path(run.run_id)
    signed = path.read_text()
    try:
        path.write_text(signed.replace('"sig":"', '"sig":"A'))
        with pytest.raises((RecordError, SigningError)):
            rebuilt(toy)
    finally:
        path.write_text(signed)
    manifest = records.path(run.files["stages/prepare/manifest.json"])
    content = manifest.read_bytes()
    try:
        manifest.write_bytes(content.replace(b"clips", b"clops"))
        with pytest.raises(RecordError, match=r"manifest\.json of run .* was altered"):
            rebuilt(toy)
    finally:
        manifest.write_bytes(content)


def test_code_that_the_checkout_does_not_have_is_named(toy: Toy, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with (
        open_books(toy.state, tmp_path) as books,
        pytest.raises(WorkspaceError, match="not in this checkout") as raised,
    ):
        rebuild(books, find_model(books, "toy"), Reporter())
    assert "refs/worldmodel" in raised.value.fix


def test_only_the_stages_behind_the_parts_are_made() -> None:
    pipeline = {
        "data": {"outs": ["artifacts/data"]},
        "teacher": {"deps": ["artifacts/data", "code.py"], "outs": ["artifacts/teacher"]},
        "aside": {"deps": ["artifacts/data"], "outs": ["artifacts/aside"]},
        "student": {"deps": ["artifacts/teacher"], "outs": ["artifacts/student"]},
        "report": {"deps": ["artifacts/student"], "outs": ["artifacts/report"]},
    }
    assert stages_behind(pipeline, ["student"]) == ["data", "teacher", "student"]
    assert stages_behind(pipeline, ["aside", "teacher"]) == ["data", "teacher", "aside"]


def test_weights_that_a_manifest_does_not_own_up_to_are_a_difference(tmp_path: Path) -> None:
    out = tmp_path / "artifacts" / "train"
    out.mkdir(parents=True)
    (out / "model.safetensors").write_bytes(b"weights")
    manifest = write_manifest(out, "train")
    subjects = {"artifacts/train/model.safetensors": manifest["files"]["model.safetensors"]["sha256"]}
    subjects |= {"artifacts/train/manifest.json": "f" * 64}
    (out / "model.safetensors").write_bytes(b"wEights")
    found = stage_rebuilt(tmp_path, "train", subjects, read_manifest(out), (1.0, None))
    assert [file.path for file in found.files] == ["model.safetensors"] and not found.identical


def test_what_differs_between_there_and_here_is_named_by_fact() -> None:
    found = fact_differences({"torch": "2.12", "python": "3.11.9", "image": "a"}, {"torch": "2.13", "python": "3.11.9"})
    assert [(f.fact, f.recorded, f.here) for f in found] == [("image", "a", None), ("torch", "2.12", "2.13")]


def test_without_an_interval_nothing_is_within_measurement() -> None:
    few = gating.report(synthetic={"image/psnr": [20.0, 21.0]})
    found = measured(compare(few, few))
    assert (found.compared, found.judged, found.within) == (1, 0, False)
    assert Measured(judged=3).within and not Measured(judged=3, told_apart={"a": "better"}).within
    assert not Measured(why_not="other clips").within
