"""A bench with real git, DVC and prepared clips; the stages that would need a network are small ones of the test's."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.records import read_report, write_record
from evaluation.report import ClipFacts
from flows import bench
from flows.bench import Bench, measure_version, trained_on
from flows.bench_params import HeldModel
from flows.bundle import PARTS, bundle_digest
from flows.environment import stage_environment
from flows.git import git
from flows.manifest import write_manifest
from flows.pipeline import StageRun
from flows.registered import Registered
from flows.reporter import Reporter
from flows.runs import RunRecord, Runs
from flows.workspace import Snapshot, open_workspace, take_snapshot
from tests.evaluation.conftest import build_report
from tests.flows.conftest import ROOT
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError, ParamsError, WorkspaceError

STAGE = """
import json
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from evaluation.base import fingerprint
from evaluation.protocols import preset
from evaluation.records import write_record
from evaluation.report import DataIdentity, ModelIdentity, Protocol, Report, Statistics
from flows.bundle import bundle_digest
from flows.stage import Stage, main


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


def run(stage: Stage[Anything]) -> None:
    given = stage.params.model_dump()
    (stage.out / "given.json").write_text(json.dumps(given))
    if stage.name == "train_tokenizer":
        shutil.copytree(stage.root / given["pretrained"]["folder"], stage.out / "tokenizer")
    if stage.name != "evaluate":
        return
    seen = {{}}
    for name in {names!r}:
        (weights,) = [*stage.input(name).rglob("model.safetensors"), *stage.input(name).glob("not_applicable.json")]
        seen[name] = weights.read_text()
    (stage.out / "seen.json").write_text(json.dumps(seen))
    protocol = Protocol(preset=preset(given["protocol"]), context_stride=None, metrics_version=1, sources={{}})
    report = Report(
        model=ModelIdentity(name="Toy", sha256=bundle_digest(stage.root / "artifacts")),
        data=DataIdentity(sha256="d" * 64, sources=()),
        protocol=protocol,
        protocol_fingerprint=fingerprint(protocol),
        statistics=Statistics(resamples=100, seed=stage.seed),
        groups=(),
        training=None,
        beats_baseline=None,
        summary="Toy.",
    )
    write_record(stage.out / "report.json", report)


if __name__ == "__main__":
    main({name!r}, Anything, run)
"""
TRAINED = ["train_worldrec", "worldgen_bidirectional", "worldgen_dmd"]
STAGES = {
    "prepare": [],
    "validate": ["prepare"],
    "train_worldrec": ["prepare"],
    "reconstruct": ["train_worldrec"],
    "render_priors": ["train_worldrec"],
    "train_tokenizer": ["prepare", "render_priors"],
    "worldgen_bidirectional": ["train_tokenizer"],
    "worldgen_dmd": ["worldgen_bidirectional"],
    "rollout": ["train_tokenizer", "worldgen_dmd"],
    "evaluate": ["reconstruct", "rollout", *TRAINED],
}


def write_project(root: Path) -> None:
    """A checkout whose stages behind `prepare` are toys, committed."""
    for package in ("flows", "evaluation", "worldmodel", ".dvc"):
        ignored = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
        shutil.copytree(ROOT / package, root / package, ignore=ignored)
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    params: dict[str, Any] = {"seed": 7, "threads": 1, **{name: {} for name in STAGES}}
    world = {"logs": 4, "clips_per_log": 1, "frames": 7, "height": 16, "width": 24, "rate_hz": 10.0}
    params["prepare"] = {"height": 16, "width": 24, "workers": 1, "synthetic": world}
    params["prepare"]["split"] = {"train": 0.5, "val": 0.25, "test": 0.25}
    params["train_tokenizer"] = {"frames": 5, "rate_hz": 10.0, "codec": "linear"}
    params["evaluate"] = {"protocol": "debug"}
    stages = {}
    for name, needs in STAGES.items():
        code = root / "flows" / "stages" / f"{name}.py"
        if name != "prepare":
            code.write_text(STAGE.format(name=name, names=TRAINED))
        deps = [code.relative_to(root).as_posix(), *(f"artifacts/{need}" for need in needs)]
        command = f"exec python -m flows.stages.{name}"
        own = {"cmd": command, "params": ["seed", "threads", name], "outs": [f"artifacts/{name}"], "deps": deps}
        stages[name] = own
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Toy project")


@dataclass
class Project:
    root: Path
    state: Path
    run: RunRecord
    workspace: Path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run that came as far as validated data."""
    root = tmp_path_factory.mktemp("checkout")
    write_project(root)
    state = root / ".worldmodel"
    source = {"name": "synthetic", "adapter": "synthetic", "digest": None}
    sources = json.dumps({"version": 1, "sources": [source]})
    snapshot = take_snapshot(root, (root / "params.yaml").read_text(), sources)
    workspace = open_workspace(root, state, snapshot)
    command = [sys.executable, "-m", "dvc", "repro", "validate"]
    done = subprocess.run(command, cwd=workspace, env=stage_environment(state), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return Project(root, state, new_run(state, snapshot), workspace)


def new_run(state: Path, snapshot: Snapshot) -> RunRecord:
    fields: dict[str, Any] = {"profile": "toy", "snapshot": snapshot.commit, "dirty": False, "sources": []}
    return Runs(state).create(snapshot.key, **fields)


@pytest.fixture
def version(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registered:
    """A registered version of all parts, 16 x 24 pixels, which MLflow would hand out."""
    monkeypatch.setenv("WORLDMODEL_STATE", str(project.state))
    held, whole = tmp_path / "held", tmp_path / "whole"
    config = {"codec": "linear", "sampling": {"tag_keys": ["weather"], "vocabulary": ["weather=rain"]}}
    config["denoiser"] = {"latents": {"grid": [2, 3], "stride": 8}}
    for part in PARTS:
        folder = held / (part.folder or part.stage)
        folder.mkdir(parents=True)
        (folder / Path(part.weights).name).write_text(f"registered {part.name}")
        (folder / "config.json").write_text(json.dumps(config))
        shutil.copytree(folder, whole / part.stage / part.folder, dirs_exist_ok=True)
        write_manifest(whole / part.stage, part.stage)
    monkeypatch.setattr("flows.registered._download", lambda model, scratch: held)
    return Registered("toy", "3", bundle_digest(whole), tuple(part.name for part in PARTS), "gone", "r")


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def stage_done(self, result: StageRun) -> None:
        self.done.append(result.stage)


def test_a_version_is_measured_on_a_runs_data_without_training_and_then_found_measured(
    project: Project, version: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    kept = measure_version(Bench(project.root, project.state, heard), version, project.run, "tiny")
    report = read_report(kept / "report.json")
    assert (report.model.sha256, report.protocol.preset.name) == (version.sha256, "tiny")
    assert heard.done == list(bench.MEASURED)
    seen = json.loads((kept / "seen.json").read_text())
    assert seen["train_worldrec"] == "registered worldrec" and seen["worldgen_dmd"] == "registered worldgen"
    assert "nothing is trained here" in seen["worldgen_bidirectional"]
    identity = json.loads((kept / "evaluation.json").read_text())
    assert identity["model_sha256"] == version.sha256
    assert identity["tree"] == git(project.root, "rev-parse", f"{project.run.snapshot}^{{tree}}")
    worktrees = git(project.root, "worktree", "list").splitlines()
    assert len(worktrees) == 2 and str(project.workspace) in worktrees[1]  # the bench's own is gone

    monkeypatch.setattr(bench, "_measure", None)
    assert measure_version(Bench(project.root, project.state), version, project.run, "tiny") == kept


def test_the_place_of_a_result_is_another_for_another_model_protocol_or_run(
    project: Project, version: Registered
) -> None:
    other = take_snapshot(project.root, (project.root / "params.yaml").read_text() + "# another\n", "{}")
    jobs = [
        bench._job(project.root, version, project.run, "tiny"),
        bench._job(project.root, replace(version, sha256="0" * 64), project.run, "tiny"),
        bench._job(project.root, version, project.run, None),
        bench._job(project.root, version, new_run(project.state, other), "tiny"),
    ]
    assert len({job.key for job in jobs}) == len(jobs)
    assert jobs[2].asked.name == "debug"  # the run's own
    renamed = bench._job(project.root, replace(version, version="4"), project.run, "tiny")
    assert renamed.key == jobs[0].key


def test_a_protocol_on_data_that_the_run_has_not_is_refused_and_leaves_no_workspace(
    project: Project, version: Registered
) -> None:
    with pytest.raises(DataError, match="storm-waymo is on waymo") as caught:
        measure_version(Bench(project.root, project.state), version, project.run, "storm-waymo")
    assert caught.value.got == "synthetic"
    assert len(git(project.root, "worktree", "list").splitlines()) == 2


def test_a_version_that_makes_other_sizes_is_refused(project: Project, version: Registered) -> None:
    job = bench._job(project.root, version, project.run, "tiny")
    assert bench._checked_sources(job, HeldModel(image_size=(16, 24)), project.workspace) == ["synthetic"]
    with pytest.raises(DataError, match="images of another size than the clips") as caught:
        bench._checked_sources(job, HeldModel(image_size=(32, 48)), project.workspace)
    assert (caught.value.expected, caught.value.got) == ("32 x 48", "16 x 24")


def test_an_unknown_protocol_is_refused_before_anything_is_made(project: Project, version: Registered) -> None:
    with pytest.raises(ParamsError, match="no such preset"):
        measure_version(Bench(project.root, project.state), version, project.run, "storm")


def test_a_run_of_code_without_benches_is_refused(project: Project, version: Registered, tmp_path: Path) -> None:
    env = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    git(project.root, "read-tree", project.run.snapshot, env=env)
    git(project.root, "rm", "--cached", "--quiet", "flows/bench.py", env=env)
    tree = git(project.root, "write-tree", env=env)
    commit = git(project.root, "commit-tree", tree, "-m", "Old code")
    with pytest.raises(WorkspaceError, match="cannot measure registered versions") as caught:
        measure_version(
            Bench(project.root, project.state), version, new_run(project.state, Snapshot(commit, tree, False))
        )
    assert "--run latest" in caught.value.fix


def test_a_run_without_validated_data_is_refused(project: Project, tmp_path: Path) -> None:
    early = new_run(project.state, Snapshot(project.run.snapshot, "f" * 40, False))
    with pytest.raises(WorkspaceError, match="no prepared and validated data"):
        bench._bring_data(Bench(project.root, project.state), early, tmp_path, {})


def test_data_that_left_the_cache_are_said_to_be_gone(project: Project, tmp_path: Path) -> None:
    """The cache is looked into, not the run's own files."""
    state = tmp_path / "state"
    Runs(state).folder(project.run.run_id).mkdir(parents=True)
    shutil.copy(project.workspace / "dvc.lock", Runs(state).folder(project.run.run_id))
    snapshot = Snapshot(project.run.snapshot, project.run.key, False)
    workspace = open_workspace(project.root, state, snapshot)
    try:
        with pytest.raises(WorkspaceError, match=r"no longer in DVC's cache"):
            bench._bring_data(Bench(project.root, state), project.run, workspace, stage_environment(state))
    finally:
        bench._remove(project.root, workspace)


def test_parts_that_the_version_lacks_are_not_applicable_and_their_stage_is_left_out(
    project: Project, tmp_path: Path
) -> None:
    shutil.copy(project.root / "dvc.yaml", tmp_path)
    registered = tmp_path / "artifacts" / "registered" / "train_worldrec"
    registered.mkdir(parents=True)
    (registered / "model.safetensors").write_text("worldrec")
    assert bench._fill_in(tmp_path) == [name for name in bench.MEASURED if name != "train_tokenizer"]
    assert (tmp_path / "artifacts/train_worldrec/model.safetensors").read_text() == "worldrec"
    for stage in ("train_tokenizer", "worldgen_dmd"):
        said = json.loads((tmp_path / "artifacts" / stage / "not_applicable.json").read_text())
        assert said["reason"] == "the registered version has no such part"
    untrained = tmp_path / "artifacts/worldgen_bidirectional"
    assert {path.name for path in untrained.iterdir()} == {"manifest.json", "not_applicable.json"}


def test_what_cannot_be_measured_is_said_and_not_kept(project: Project, version: Registered, tmp_path: Path) -> None:
    job = bench._job(project.root, version, project.run, "tiny")
    (tmp_path / "not_applicable.json").write_text('{"reason": "no clip is long enough"}')
    with pytest.raises(DataError, match="nothing of toy version 3 can be measured under tiny") as caught:
        bench._keep(job, tmp_path, tmp_path / "kept")
    assert caught.value.got == "no clip is long enough" and not (tmp_path / "kept").exists()


def test_a_report_of_another_model_is_not_kept(project: Project, version: Registered, tmp_path: Path) -> None:
    job = bench._job(project.root, version, project.run, "tiny")
    write_record(tmp_path / "report.json", build_report(sha256="b" * 64, synthetic={}))
    with pytest.raises(DataError, match="the report is not of toy version 3"):
        bench._keep(job, tmp_path, tmp_path / "kept")
    write_record(tmp_path / "report.json", build_report(sha256=version.sha256, synthetic={}))
    bench._keep(job, tmp_path, tmp_path.parent / "kept")
    assert (tmp_path.parent / "kept" / "report.json").is_file()


def test_measured_logs_that_the_version_was_trained_on_are_named(
    project: Project, version: Registered, tmp_path: Path
) -> None:
    store = ClipStore(project.workspace / "artifacts" / "prepare")
    logs = {split: store.row(store.clip_ids(split)[0])["log_id"] for split in ("train", "test")}

    def facts(split: str, **more: Any) -> ClipFacts:
        where = {"clip_id": f"{split}{more}", "log_id": logs[split], "source": "synthetic", "split": "test"}
        content = dict.fromkeys(("sha256", "pixels_sha256"), f"{split}{more}")
        return ClipFacts.model_validate(where | content | {"same_log": False} | more)

    own = replace(version, run_id=project.run.run_id)
    report = build_report(synthetic={}).model_copy(update={"clips": (facts("test"), facts("train"))})
    assert trained_on(project.state, own, report) == [logs["train"]]
    known = report.model_copy(update={"clips": (facts("test"), facts("train", same_log=True))})
    assert trained_on(project.state, own, known) == []  # the report itself keeps these apart
    assert trained_on(project.state, replace(version, run_id="20200101-gone"), report) is None
    assert trained_on(tmp_path, own, report) is None
