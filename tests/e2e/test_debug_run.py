"""The whole way at debug size: data, training, videos, evaluation, gate, registry, from a fresh clone and no server."""

import json
import tarfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from evaluation.generation.rollouts import REPEAT_DECODED, Rollouts, read_rollouts
from evaluation.generation_report import REPEAT, STUDENT, TOKENIZER, TRUE_FRAMES
from evaluation.metrics.catalogue import VIDEO_PSNR
from evaluation.records import read_decision, read_report
from flows.bundle import PARTS
from flows.git import git
from flows.pipeline import lock_entries
from tests.e2e.conftest import STAGES, Clone, frames_of_a_sample, movie, picture, served
from worldmodel.data.shards import ClipStore
from worldmodel.worldgen.config import Method

pytestmark = pytest.mark.timeout(1300)  # the first test waits for the whole run


def outcomes(record: dict[str, Any]) -> dict[str, str]:
    return {name: facts["outcome"] for name, facts in record["stages"].items()}


def test_every_stage_ran_and_the_end_is_promoted(clone: Clone, debug_run: dict[str, Any]) -> None:
    assert outcomes(debug_run) == dict.fromkeys(STAGES, "ran")
    assert (debug_run["status"], debug_run["exit_code"]) == ("promoted", 0)
    for stage in STAGES:
        artifact = clone.workspace(debug_run) / "artifacts" / stage
        manifest = json.loads((artifact / "manifest.json").read_text())
        assert manifest["stage"] == stage and manifest["files"]
        assert not (artifact / "not_applicable.json").exists(), f"{stage} had nothing to do"
    assert set(debug_run["model"]["parts"]) == {part.name for part in PARTS}


def test_the_report_and_the_decision_are_there(clone: Clone, debug_run: dict[str, Any]) -> None:
    report = read_report(clone.workspace(debug_run) / "artifacts" / "evaluate" / "report.json")
    psnr = next(group for group in report.groups if group.split == "test").metric("image/psnr")
    assert psnr is not None and psnr.value is not None and set(psnr.baselines) >= {"nearest_context"}
    assert report.model.sha256 == debug_run["model"]["sha256"]
    decision = read_decision(clone.state / "runs" / debug_run["run_id"] / "decision.json")
    assert decision.verdict == "promote" and all(rule.verdict == "pass" for rule in decision.rules)


def test_the_report_measures_what_every_method_generated(clone: Clone, debug_run: dict[str, Any]) -> None:
    report = read_report(clone.workspace(debug_run) / "artifacts" / "evaluate" / "report.json")
    group = report.generated("synthetic", "test")
    assert group is not None and {method.name for method in group.methods} == {
        *get_args(Method),
        TOKENIZER,
        TRUE_FRAMES,
    }
    for name in (STUDENT, REPEAT):
        psnr = group.metric(name, VIDEO_PSNR.id)
        assert psnr is not None and psnr.value is not None and 0 < psnr.value < 60
        assert len(psnr.by_time) == frames_of_a_sample(clone) - 1, "the given frame is not measured"
    student = group.metric(STUDENT, VIDEO_PSNR.id)
    assert student is not None and REPEAT in student.against
    assert group.no_distances is not None and "no FVD claim" in group.no_distances
    assert [rest.reason for rest in report.not_applicable if "FVD" in rest.what] == [group.no_distances]


def test_there_is_a_video_of_every_method_and_sample(clone: Clone, debug_run: dict[str, Any]) -> None:
    artifacts = clone.workspace(debug_run) / "artifacts"
    root = artifacts / "rollout"
    rollouts = Rollouts(root, read_rollouts(root), ClipStore(artifacts / "prepare"))
    assert [method.name for method in rollouts.index.methods] == list(get_args(Method))
    generated = [sample for sample in rollouts.index.samples if sample.role == "generated"]
    reference = [sample for sample in rollouts.index.samples if sample.role == "reference"]
    assert generated and not {s.log_id for s in generated} & {s.log_id for s in reference}
    for name in (*get_args(Method), REPEAT_DECODED):
        videos = [rollouts.made(name, sample) for sample in generated]
        assert len(list((root / "videos" / name).iterdir())) == len(videos)
        moves = [np.ptp(video, axis=0).max() > 0 for video in videos]
        assert name == REPEAT_DECODED or moves == [name != REPEAT] * len(videos), name
    assert all(rollouts.made(TOKENIZER, sample).std() > 1 for sample in (*generated, *reference))


def test_the_pictures_and_the_sample_video_open(clone: Clone, debug_run: dict[str, Any]) -> None:
    pictures = {Path(path).name: Path(path) for path in debug_run["pictures"]}
    frames = frames_of_a_sample(clone)
    video = movie(pictures["generation-synthetic.mp4"])
    assert len(video) == frames and (video[0] != video[-1]).any()
    opened = {name: picture(path) for name, path in pictures.items() if name.endswith(".png")}
    assert {"overview-synthetic.png", "preview.png", "curve.png", "psnr-by-clip.png"} <= opened.keys()
    kinds = ("methods", "psnr-by-time", "strip", "preview")
    assert {f"generation-{kind}-synthetic.png" for kind in kinds} <= opened.keys()
    assert all(pixels.std() > 1 for pixels, _ in opened.values()), "one is blank"
    assert opened["generation-preview-synthetic.png"][1] == frames


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_mlflow_lists_the_sample_video_and_the_report(clone: Clone, debug_run: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(clone.mlflow)
    version = client.get_model_version("worldmodel-debug", debug_run["model"]["version"])
    experiment = client.get_run(str(version.run_id)).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
    children = {run.info.run_name: run for run in found}
    assert set(children) == set(STAGES)
    of_stage = [file.path for file in client.list_artifacts(children["evaluate"].info.run_id, "pictures")]
    of_run = [file.path for file in client.list_artifacts(str(version.run_id), "evaluate/pictures")]
    assert "pictures/generation-synthetic.mp4" in of_stage and "pictures/preview.png" in of_stage
    assert "evaluate/pictures/generation-synthetic.mp4" in of_run
    assert "video" in " ".join(children["evaluate"].data.metrics)


def test_the_shards_are_plain_tar(clone: Clone, debug_run: dict[str, Any]) -> None:
    shard = next((clone.workspace(debug_run) / "artifacts" / "prepare" / "shards").glob("*.tar"))
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    assert members and {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}


def test_nothing_of_the_run_is_in_the_checkout(clone: Clone, debug_run: dict[str, Any]) -> None:
    assert git(clone.root, "status", "--porcelain") == ""
    lock = git(clone.root, "show", f"refs/worldmodel/runs/{debug_run['run_id']}:dvc.lock")
    assert all(f"artifacts/{stage}" in lock for stage in STAGES)


def test_a_second_run_starts_no_stage_and_finds_the_champion(clone: Clone, debug_run: dict[str, Any]) -> None:
    second = clone.run("run", "--profile", "debug")
    assert outcomes(second) == dict.fromkeys(STAGES, "cached")
    assert second["status"] == "already_champion" and second["model"] == debug_run["model"]
    assert set(second["overhead_s"]) == set(debug_run["overhead_s"]) and "total" in second["overhead_s"]
    status = clone.run("status")
    assert status["champions"]["worldmodel-debug"]["sha256"] == debug_run["model"]["sha256"]
    assert [record["run_id"] for record in clone.run("runs")][:2] == [second["run_id"], debug_run["run_id"]]


@pytest.fixture(scope="module")
def champion(clone: Clone, debug_run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    prepared = clone.workspace(debug_run) / "artifacts" / "prepare"
    return served(clone, "champion", prepared, "synthetic", tmp_path_factory.mktemp("elsewhere"))


def test_a_clean_process_generates_with_the_champion(champion: dict[str, Any]) -> None:
    assert champion["video"] == champion["frames"] and champion["type"] == "uint8"
    assert champion["first frame off by"] < 40, "frame 0 is the given one, through the tokenizer"
    assert champion["repeats"], "the same seed gives the same video"
    assert champion["another seed differs"] and champion["another layout differs"]


def test_the_champion_refuses_a_layout_of_a_length_it_cannot_make(champion: dict[str, Any]) -> None:
    kind, text = champion["refusal"]
    assert kind == "DataError" and "layout" in text and f"T = {champion['frames'][0] - 1}" in text
    assert "T = 1 + 4k" in text


def test_the_champion_still_renders_a_view(champion: dict[str, Any]) -> None:
    _, height, width, _ = champion["frames"]
    assert champion["render"]["shape"] == [1, height, width, 3] and champion["render"]["spread"] > 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_fresh_clones_make_the_same_hashes(
    clone: Clone, debug_run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Clone(tmp_path_factory.mktemp("other"), clone.root)
    record = other.run("run", "--profile", "debug", "--until", "evaluate")
    mine, theirs = (lock_entries(c.workspace(r) / "dvc.lock") for c, r in ((clone, debug_run), (other, record)))
    assert {name: entry["outs"] for name, entry in mine.items()} == {
        name: entry["outs"] for name, entry in theirs.items()
    }
