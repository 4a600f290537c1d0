"""Synthetic and recorded driving in one run: what so little recorded data cannot show is said, and the gate refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.generation_report import REPEAT, STUDENT, TEACHER, TOKENIZER
from evaluation.metrics.catalogue import VIDEO_PSNR
from evaluation.records import read_decision, read_report
from evaluation.report import Report
from flows.bundle import PARTS
from tests.e2e.conftest import RECORDED, STAGES, Clone, frames_of_a_sample, movie, picture, served

STREET, DRIVE = "dgp_street", "multicam_drive"
TRAINED = f"{DRIVE}-002b815b-7595-4d54-a9f4-4c62c83d3009"
MEASURED = f"{DRIVE}-0aef6f94-b02a-4c29-b99f-06fcd48ac0a0"
SPLITS = ("train", "val", "test")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not all((RECORDED / name).is_dir() for name in (STREET, DRIVE)), reason=f"no recorded data at {RECORDED}"
    ),
]


@pytest.fixture(scope="module")
def record(clone: Clone) -> dict[str, Any]:
    sources = ("synthetic", f"dgp:{RECORDED / STREET}", f"multicam:{RECORDED / DRIVE}")
    data = [word for source in sources for word in ("--data", source)]
    return dict(clone.run("run", "--profile", "debug", *data, expect=(3,)))


@pytest.fixture(scope="module")
def artifacts(clone: Clone, record: dict[str, Any]) -> Path:
    return clone.workspace(record) / "artifacts"


@pytest.fixture(scope="module")
def report(artifacts: Path) -> Report:
    return read_report(artifacts / "evaluate" / "report.json")


def reason(report: Report, *words: str) -> str:
    """The reason of the one thing that was not applicable and is named by these words."""
    found = [item for item in report.not_applicable if all(word in item.what for word in words)]
    assert len(found) == 1, f"{words}: {report.not_applicable}"
    return found[0].reason


def test_it_goes_through_every_stage_to_a_registered_challenger(
    clone: Clone, record: dict[str, Any], artifacts: Path
) -> None:
    assert set(record["stages"]) == set(STAGES)
    assert not list(artifacts.glob("*/not_applicable.json"))
    assert set(record["model"]["parts"]) == {part.name for part in PARTS} and record["model"]["version"]
    champions = clone.run("status")["champions"]
    assert record["model"]["sha256"] not in {champion["sha256"] for champion in champions.values()}


def test_worldgen_trains_on_one_recorded_scene_and_is_measured_on_the_other(artifacts: Path) -> None:
    samples = json.loads((artifacts / "train_tokenizer" / "index.json").read_text())["samples"]
    logs = {split: {s["log_id"] for s in samples if (s["split"], s["source"]) == (split, DRIVE)} for split in SPLITS}
    assert logs == {"train": {TRAINED}, "val": set(), "test": {MEASURED}}
    assert len({s["camera"] for s in samples if s["log_id"] == TRAINED}) == 7, "every camera gives samples"
    made = json.loads((artifacts / "rollout" / "index.json").read_text())["samples"]
    assert {(s["log_id"], s["role"]) for s in made if s["source"] == DRIVE} == {
        (MEASURED, "generated"),
        (TRAINED, "reference"),
    }


def test_one_recorded_scene_gives_psnr_by_time_and_no_distance(clone: Clone, report: Report) -> None:
    group, frames = report.generated(DRIVE, "test"), frames_of_a_sample(clone)
    assert group is not None and not group.same_log and group.n_logs == group.n_reference_logs == 1
    for name in (REPEAT, TEACHER, STUDENT, TOKENIZER):
        psnr = group.metric(name, VIDEO_PSNR.id)
        assert psnr is not None and psnr.value is not None and 0 < psnr.value < 60
        assert [at.time_s for at in psnr.by_time] == pytest.approx([0.1 * i for i in range(1, frames)])
        assert psnr.ci95 is None and psnr.no_interval, "one log has no interval over logs"
    assert {metric.id for method in group.methods for metric in method.metrics} == {VIDEO_PSNR.id}
    assert group.no_distances is not None and group.no_distances.startswith("1 log of generated clips")
    assert reason(report, "FVD and KVD", DRIVE) == group.no_distances and "no FVD claim" in group.no_distances


def test_frame_1_of_six_cameras_is_measured_and_marked(report: Report) -> None:
    group = next(group for group in report.groups if group.source == STREET)
    assert group.same_log
    psnr, depth = group.metric("image/psnr"), group.metric("depth/rmse")
    assert psnr is not None and psnr.n_images == 6 and "nearest_context" in psnr.baselines
    assert depth is not None and depth.value is not None, "depth is measured against LiDAR"
    assert "also trained on" in reason(report, "held-out logs", STREET)


def test_what_a_source_cannot_show_is_not_applicable_with_its_reason(report: Report) -> None:
    assert reason(report, f"1 clip of {DRIVE}") == "no camera poses"
    assert not any(group.source == DRIVE for group in report.groups), "without poses nothing is reconstructed"
    assert not any(group.source == STREET for group in report.generation), "three frames are no video"
    assert "3 frames" in reason(report, "video", STREET)


def test_the_recorded_scene_has_videos_to_look_at(clone: Clone, record: dict[str, Any]) -> None:
    pictures = {Path(path).name: Path(path) for path in record["pictures"]}
    video, frames = movie(pictures[f"generation-{DRIVE}.mp4"]), frames_of_a_sample(clone)
    assert len(video) == frames and (video[0] != video[-1]).any()
    shown = {kind: picture(pictures[f"generation-{kind}-{DRIVE}.png"]) for kind in ("strip", "preview", "psnr-by-time")}
    assert all(pixels.std() > 1 for pixels, _ in shown.values()) and shown["preview"][1] == frames
    assert {f"generation-{name}.mp4" for name in ("synthetic", DRIVE)} <= pictures.keys()


def test_the_challenger_continues_a_recorded_scene_by_its_layout_video(
    clone: Clone, record: dict[str, Any], artifacts: Path, tmp_path: Path
) -> None:
    seen = served(clone, "challenger", artifacts / "prepare", DRIVE, tmp_path)
    assert seen["video"] == seen["frames"] and seen["repeats"]
    assert seen["another seed differs"] and seen["another layout differs"]


def test_the_refusal_names_the_rules_that_this_data_cannot_meet(clone: Clone, record: dict[str, Any]) -> None:
    assert record["status"] == "refused"
    decision = read_decision(clone.state / "runs" / record["run_id"] / "decision.json")
    rules = {rule.id: rule for rule in decision.rules}
    street, drive = (rules[f"coverage/{source}/reconstruction"] for source in (STREET, DRIVE))
    assert street.verdict == "not_applicable"
    assert drive.verdict != "pass" and DRIVE in drive.sentence
    assert rules["coverage/synthetic/reconstruction"].verdict == "pass"


def test_the_record_names_the_data_by_digest_and_no_path(clone: Clone, record: dict[str, Any]) -> None:
    names = {source["name"]: source["digest"] for source in record["sources"]}
    assert set(names) == {"synthetic", STREET, DRIVE}
    assert all(len(str(names[name])) == 64 for name in (STREET, DRIVE))
    assert str(RECORDED) not in (clone.workspace(record) / "data" / "sources.json").read_text()
