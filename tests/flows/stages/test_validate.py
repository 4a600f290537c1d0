import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flows.checks.config import ValidateConfig
from flows.checks.verdict import require_fit
from flows.manifest import write_manifest as finish
from flows.stage import Stage
from flows.stages.validate import run
from worldmodel.data.manifest import describe_clip, write_manifest
from worldmodel.data.schema import Clip
from worldmodel.data.shards import pack_clip, write_shard
from worldmodel.errors import DataError, Preempted, UnfitDataError

PARAMS = """
licences: [CC0-1.0]
min_clips: {train: 2, val: 1, test: 1}
clips_per_stratum: 4
"""


def noise_clip(number: int) -> Clip:
    """Pixels and times only: what video without calibration looks like."""
    rgb = np.random.default_rng(number).integers(0, 256, (3, 2, 16, 24, 3), dtype=np.uint8)
    names = {"clip_id": f"clip-{number}", "log_id": f"log-{number}", "source": "noise", "licence": "CC0-1.0"}
    return Clip(**names, cameras=("front", "rear"), rate_hz=10.0, times_s=np.arange(3) / 10, rgb=rgb)


def make_prepare(root: Path, **of_clip_1: Any) -> None:
    clips = [noise_clip(number) for number in range(4)]
    packed = [pack_clip(clip) for clip in clips]
    (root / "shards").mkdir(parents=True)
    offsets = write_shard(root / "shards" / "shard-00000.tar", [pack.data for pack in packed])
    rows: list[Any] = []
    for number, (clip, pack, offset) in enumerate(zip(clips, packed, offsets, strict=True)):
        split = ("train", "train", "val", "test")[number]
        place = {"split": split, "heldout_frames": [], "shard": "shard-00000.tar", "offset": offset}
        size = {"byte_size": len(pack.data), "sha256": pack.sha256}
        rows.append({**describe_clip(clip), **place, **size, **(of_clip_1 if number == 1 else {})})
    write_manifest(root / "clips.parquet", rows)
    finish(root, "prepare")


@pytest.fixture
def stage(tmp_path: Path) -> Stage[ValidateConfig]:
    directories = {name: tmp_path / name for name in ("out", "run", "resume")}
    for directory in directories.values():
        directory.mkdir()
    params = ValidateConfig.model_validate(yaml.safe_load(PARAMS))
    where = {"out": directories["out"], "run_dir": directories["run"], "resume_dir": directories["resume"]}
    return Stage(name="validate", params=params, seed=0, threads=1, root=tmp_path, **where)


def test_fit_clips_give_a_verdict_that_training_accepts_and_docs_that_are_no_output(
    stage: Stage[ValidateConfig],
) -> None:
    make_prepare(stage.root / "artifacts" / "prepare")
    run(stage)
    verdict = require_fit(stage.out / "verdict.json")
    assert len(verdict["sampled"]) == 4
    assert {skip["reason"] for skip in verdict["skipped"]} >= {"the clip has no Ks", "the clip has no depth"}
    assert [path.name for path in stage.out.iterdir()] == ["verdict.json"]
    assert (stage.run_dir / "data_docs" / "index.html").is_file()
    assert json.loads((stage.run_dir / "progress.json").read_text()) == {"done": 4, "total": 4, "unit": "clips"}


def test_unfit_clips_leave_no_output_but_the_reasons(stage: Stage[ValidateConfig]) -> None:
    make_prepare(stage.root / "artifacts" / "prepare", licence="proprietary")
    with pytest.raises(UnfitDataError) as caught:
        run(stage)
    assert "manifest.licence: licence allowed (expect_column_values_to_be_in_set): 1 of 4: clip-1" in str(caught.value)
    page = stage.run_dir / "data_docs" / "index.html"
    assert str(page) in str(caught.value)
    assert "clip-1" in page.read_text()
    assert not list(stage.out.iterdir())
    with pytest.raises(UnfitDataError):
        require_fit(stage.run_dir / "verdict.json")


def test_an_exception_inside_great_expectations_is_not_a_success(
    stage: Stage[ValidateConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from great_expectations.datasource.fluent.interfaces import Batch

    def broken(*_: Any, **__: Any) -> None:
        raise TypeError("Object of type bool is not JSON serializable")

    make_prepare(stage.root / "artifacts" / "prepare")
    monkeypatch.setattr(Batch, "validate", broken)
    with pytest.raises(UnfitDataError, match="TypeError: Object of type bool"):
        run(stage)
    assert not list(stage.out.iterdir())
    assert "TypeError" in (stage.run_dir / "data_docs" / "index.html").read_text()


def test_without_prepared_clips_the_stage_says_what_to_run(stage: Stage[ValidateConfig]) -> None:
    with pytest.raises(DataError, match="--until prepare"):
        run(stage)


def test_a_stage_told_to_stop_stops_before_the_next_clip(stage: Stage[ValidateConfig]) -> None:
    make_prepare(stage.root / "artifacts" / "prepare")
    stage.stop_requested = True
    with pytest.raises(Preempted):
        run(stage)
