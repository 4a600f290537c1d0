"""What the gate is told beside the reports: from real files, and null where nothing can be established."""

import json
from pathlib import Path
from typing import cast

import pytest

from evaluation.evidence import Evidence, Performance
from flows.evidence import gather, manifests_of, performance_of, splits_of, validation_of
from flows.manifest import write_manifest
from worldmodel.data.manifest import ClipRow, Split
from worldmodel.data.manifest import write_manifest as write_clips
from worldmodel.errors import StageError


def finished(workspace: Path, stage: str) -> Path:
    directory = workspace / "artifacts" / stage
    directory.mkdir(parents=True)
    (directory / "a.txt").write_text("a")
    (directory / "b.txt").write_text("b")
    write_manifest(directory, stage)
    return directory


def test_an_untouched_output_is_complete_and_a_touched_one_is_named_with_its_file(tmp_path: Path) -> None:
    first, second, third = (finished(tmp_path, name) for name in ("one", "two", "three"))
    assert manifests_of(tmp_path, ["one", "two", "three"]).broken == {}
    (first / "a.txt").write_text("changed")
    (second / "b.txt").unlink()
    (third / "c.txt").write_text("new")
    broken = manifests_of(tmp_path, ["one", "two", "three", "four"]).broken
    assert {stage: [n for n in ("a.txt", "b.txt", "c.txt") if n in said] for stage, said in broken.items()} == {
        "one": ["a.txt"],
        "two": ["b.txt"],
        "three": ["c.txt"],
        "four": [],
    }


def test_the_verdict_on_the_data_is_taken_over_and_no_verdict_is_none(tmp_path: Path) -> None:
    assert validation_of(tmp_path) is None
    path = tmp_path / "artifacts" / "validate" / "verdict.json"
    path.parent.mkdir(parents=True)
    for success, verdict in ((True, "fit"), (False, "unfit")):
        path.write_text(json.dumps({"schema_version": "worldmodel.verdict/1", "success": success}))
        found = validation_of(tmp_path)
        assert found is not None and found.verdict == verdict
    path.write_text("{}")
    found = validation_of(tmp_path)
    assert found is not None and found.verdict == "unfit"


def row(clip_id: str, log_id: str, split: Split) -> ClipRow:
    has = dict.fromkeys(
        ("poses", "depth", "sky", "dynamic", "points", "boxes", "layout", "layout_video", "text"), False
    )
    described = {
        **{f"has_{name}": value for name, value in has.items()},
        "clip_id": clip_id,
        "log_id": log_id,
        "split": split,
        "source": "s",
        "licence": "MIT",
        "cameras": ["front"],
        "n_frames": 2,
        "height": 4,
        "width": 4,
        "rate_hz": 10.0,
        "depth_kind": None,
        "weather": None,
        "time_of_day": None,
        "tags": "{}",
        "heldout_frames": [],
        "shard": "0.tar",
        "offset": 0,
        "byte_size": 1,
        "sha256": "0" * 64,
    }
    return cast(ClipRow, described)


def test_logs_in_two_splits_are_named(tmp_path: Path) -> None:
    assert splits_of(tmp_path) is None
    path = tmp_path / "artifacts" / "prepare" / "clips.parquet"
    apart = [row("a", "log-a", "train"), row("b", "log-b", "test"), row("c", "log-c", "val")]
    write_clips(path, apart)
    found = splits_of(tmp_path)
    assert found is not None and (found.n_training_logs, found.n_measured_logs, found.shared) == (1, 2, ())
    write_clips(path, [*apart, row("d", "log-a", "test"), row("e", "log-b", "val")])
    found = splits_of(tmp_path)
    assert found is not None and found.shared == ("log-a", "log-b")


def test_nothing_that_was_not_established_is_taken_for_granted(tmp_path: Path) -> None:
    found = gather(tmp_path, ["one"], None, Evidence(candidate_sha256="c", dirty=True))
    assert (found.data, found.validation, found.splits, found.performance) == (None, None, None, None)
    assert found.candidate_sha256 == "c" and found.dirty
    assert found.manifests is not None and set(found.manifests.broken) == {"one"}


def test_speed_is_measured_once_for_a_model_and_a_failure_says_how_to_see_it(tmp_path: Path) -> None:
    state, workspace = tmp_path / "state", tmp_path / "workspace"
    workspace.mkdir()
    assert performance_of(state, workspace, "", {}) is None
    with pytest.raises(StageError, match="speed could not be measured"):
        performance_of(state, workspace, "sha", {})
    assert not (state / "performance").exists()
    kept = Performance(model_sha256="sha", machine="m", protocol="tiny", peak_memory_mib=1.0, repeats=3)
    (workspace / "flows").mkdir()
    (workspace / "flows" / "__init__.py").touch()
    (workspace / "flows" / "speed.py").write_text(f"print({kept.model_dump_json()!r})")
    assert performance_of(state, workspace, "sha", {}) == kept
    (workspace / "flows" / "speed.py").unlink()
    assert performance_of(state, workspace, "sha", {}) == kept
    with pytest.raises(StageError, match="speed could not be measured"):  # of another model
        performance_of(state, workspace, "another", {})
    changed = workspace.rename(tmp_path / "of other code or params")
    with pytest.raises(StageError, match="speed could not be measured"):
        performance_of(state, changed, "sha", {})
