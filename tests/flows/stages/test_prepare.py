import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.stage import Stage
from flows.stages.prepare import run
from worldmodel.data.config import PrepareConfig
from worldmodel.data.dataset import readable_frames
from worldmodel.data.recalls import Recalls, recalls_json
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import ResolvedSource, remember_paths, resolve_specs, write_sources
from worldmodel.errors import DataError, Preempted

ROOT = Path(__file__).parents[3]
RECORDED = ROOT.parent / "shared/data/dgp_street"
SMALL: dict[str, Any] = {
    "height": 16,
    "width": 24,
    "workers": 1,
    "card_clips": 1,
    "synthetic": {"logs": 4, "clips_per_log": 1, "frames": 3, "height": 16, "width": 24},
}
OUTPUTS = {"card.json", "clips.parquet", "not_included.json", "shards", "sources.json"}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage[PrepareConfig]:
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path / "state"))
    out, run_dir, resume_dir = (tmp_path / name for name in ("out", "run", "resume"))
    for directory in (out, run_dir, resume_dir):
        directory.mkdir()
    write_sources(tmp_path / "data/sources.json", resolve_specs(["synthetic"]))
    (tmp_path / "data/recalls.json").write_text(recalls_json(Recalls()))
    params = PrepareConfig.model_validate(SMALL)
    return Stage("prepare", params, 1, threads=1, root=tmp_path, out=out, run_dir=run_dir, resume_dir=resume_dir)


def test_synthetic_logs_become_shards_with_a_difficulty_card(stage: Stage[PrepareConfig]) -> None:
    run(stage)
    assert {path.name for path in stage.out.iterdir()} == OUTPUTS
    store = ClipStore(stage.out)
    assert sorted(store.manifest["split"]) == ["test", "train", "train", "val"]
    assert store.load(store.clip_ids("test")[0], verify=True).has["layout"]
    card = json.loads((stage.out / "card.json").read_text())
    assert card["clip_ids"] == store.clip_ids("test") and card["clips"] == 1
    assert json.loads((stage.run_dir / "progress.json").read_text()) == {"done": 4, "total": 4, "unit": "logs"}


def test_nothing_held_out_means_no_card(stage: Stage[PrepareConfig]) -> None:
    synthetic = stage.params.synthetic.model_copy(update={"logs": 1})
    stage.params = stage.params.model_copy(update={"synthetic": synthetic})
    run(stage)
    assert {path.name for path in stage.out.iterdir()} == OUTPUTS - {"card.json"}
    store = ClipStore(stage.out)
    assert readable_frames(store.row(store.clip_ids("train")[0])) == (0, 2)


def test_recorded_driving_is_found_by_its_digest_and_holds_out_its_middle_frame(stage: Stage[PrepareConfig]) -> None:
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded driving at {RECORDED}")
    entries = resolve_specs([f"dgp:{RECORDED}"])
    write_sources(stage.root / "data/sources.json", entries)
    remember_paths(stage.root / "state/sources.local.json", entries)
    run(stage)
    (clip_id,) = ClipStore(stage.out).clip_ids()
    row = ClipStore(stage.out).row(clip_id)
    assert (row["source"], row["split"], row["heldout_frames"], row["licence"]) == ("dgp_street", "train", [1], "MIT")
    assert not any(str(RECORDED).encode() in path.read_bytes() for path in stage.out.glob("*.json"))


def test_data_that_this_machine_does_not_have_is_named(stage: Stage[PrepareConfig]) -> None:
    write_sources(stage.root / "data/sources.json", [ResolvedSource("street", "dgp", "ab" * 32)])
    with pytest.raises(DataError, match="source street is not on this machine"):
        run(stage)


def test_told_to_stop_it_keeps_finished_logs_and_goes_on_later(stage: Stage[PrepareConfig]) -> None:
    stage.stop_requested = True
    with pytest.raises(Preempted):
        run(stage)
    assert list(stage.out.iterdir()) == []
    stage.stop_requested = False
    run(stage)
    assert len(ClipStore(stage.out).manifest) == 4


def test_a_quarantined_log_is_said(
    stage: Stage[PrepareConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken_drive"
    broken.mkdir()
    (broken / "LICENSE").write_text("MIT License\n")
    (broken / "scene_0.json").write_text("{}")
    entries = resolve_specs(["synthetic", f"dgp:{broken}"])
    write_sources(stage.root / "data/sources.json", entries)
    remember_paths(stage.root / "state/sources.local.json", entries)
    run(stage)
    assert "not included: log broken_drive of broken_drive: " in capsys.readouterr().out


def test_what_is_recalled_is_left_out_and_said(stage: Stage[PrepareConfig], capsys: pytest.CaptureFixture[str]) -> None:
    run(stage)
    first, *_ = ClipStore(stage.out).clip_ids("train")
    log_id = ClipStore(stage.out).row(first)["log_id"]
    stage.out = stage.root / "after"
    recalls = Recalls(frozenset({log_id}), frozenset({ClipStore(stage.root / "out").clip_ids("val")[0]}))
    (stage.root / "data/recalls.json").write_text(recalls_json(recalls))
    run(stage)
    assert sorted(ClipStore(stage.out).manifest["split"]) == ["test", "train"]
    said = capsys.readouterr().out
    assert f"not included: log {log_id} of synthetic: recalled" in said
    assert f"not included: clip {min(recalls.clips)} of synthetic: recalled" in said


def test_a_workspace_without_its_recalls_is_refused(stage: Stage[PrepareConfig]) -> None:
    (stage.root / "data/recalls.json").unlink()
    with pytest.raises(DataError, match=r"data/recalls\.json cannot be read"):
        run(stage)


def test_as_a_process_with_workers_it_gives_the_same_bytes(stage: Stage[PrepareConfig], tmp_path: Path) -> None:
    run(stage)
    workspace = tmp_path / "workspace"
    for package in ("flows", "evaluation", "worldmodel"):
        shutil.copytree(ROOT / package, workspace / package, ignore=shutil.ignore_patterns("__pycache__"))
    write_sources(workspace / "data/sources.json", resolve_specs(["synthetic"]))
    (workspace / "data/recalls.json").write_text(recalls_json(Recalls()))
    params = {"seed": 1, "threads": 1, "prepare": {**SMALL, "workers": 2}}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    command = "python -m flows.stages.prepare"
    dvc = {"stages": {"prepare": {"cmd": command, "deps": ["data/sources.json"], "params": ["seed", "prepare"]}}}
    (workspace / "dvc.yaml").write_text(yaml.safe_dump(dvc))
    environment = {**os.environ, "WORLDMODEL_STATE": str(tmp_path / "state"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command.split()[1:]], cwd=workspace, env=environment, check=False)
    assert done.returncode == 0
    here, there = stage.out, workspace / "artifacts/prepare"
    names = {path.relative_to(here) for path in here.rglob("*") if path.is_file()}
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
