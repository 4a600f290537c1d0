import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation.config import EvaluateConfig
from evaluation.records import read_report
from flows.manifest import write_manifest
from flows.stage import Stage
from flows.stages import prepare
from flows.stages.evaluate import run
from worldmodel.data.config import PrepareConfig
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import resolve_specs, write_sources
from worldmodel.errors import DataError, Preempted

SMALL: dict[str, Any] = {
    "height": 16,
    "width": 24,
    "workers": 1,
    "card_clips": 1,
    "synthetic": {"logs": 4, "clips_per_log": 1, "frames": 4, "height": 16, "width": 24},
}
HISTORY = {"steps": [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.4, "val_psnr": 18.0}]}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of the real `prepare`, of a training of two steps, and renders that are the truth with noise."""
    root = tmp_path_factory.mktemp("workspace")
    write_sources(root / "data/sources.json", resolve_specs(["synthetic"]))
    stage = _stage(root, "prepare", PrepareConfig.model_validate(SMALL))
    prepare.run(stage)
    out = root / "artifacts"
    out.mkdir()
    stage.out.rename(out / "prepare")
    for name in ("train_worldrec", "reconstruct", "reconstruct/renders"):
        (out / name).mkdir()
    (out / "train_worldrec/history.json").write_text(json.dumps(HISTORY))
    _render(ClipStore(out / "prepare"), out / "reconstruct")
    for name in ("prepare", "train_worldrec", "reconstruct"):
        write_manifest(out / name, name)
    return root


def _stage(root: Path, name: str, params: Any) -> Stage[Any]:
    out, run_dir, resume_dir = (root / f"{name}-{kind}" for kind in ("out", "run", "resume"))
    for directory in (out, run_dir, resume_dir):
        directory.mkdir()
    return Stage(name, params, 1, threads=1, root=root, out=out, run_dir=run_dir, resume_dir=resume_dir)


def _render(store: ClipStore, out: Path) -> None:
    entries = []
    for clip_id in store.clip_ids("test"):
        clip = store.load(clip_id)
        targets = list(target_frames(4, 5))
        noise = np.random.default_rng(0).normal(0, 5, clip.rgb[targets].shape)
        rgb = np.clip(clip.rgb[targets] + noise, 0, 255).astype(np.uint8)
        assert clip.depth is not None
        save_file({"rgb": rgb, "depth": clip.depth[targets]}, out / "renders" / f"{clip_id}.safetensors")
        entry = {"clip_id": clip_id, "log_id": clip.log_id, "source": "synthetic", "split": "test", "same_log": False}
        entries.append(entry | {"context_frames": list(context_frames(4, 5)), "target_frames": targets})
    index = {"model_sha256": "a" * 64, "protocol": {"context_stride": 5}, "clips": entries}
    (out / "index.json").write_text(json.dumps(index))


@pytest.fixture
def stage(artifacts: Path, tmp_path: Path) -> Stage[EvaluateConfig]:
    shutil.copytree(artifacts / "artifacts", tmp_path / "artifacts")
    return _stage(tmp_path, "evaluate", EvaluateConfig(bootstrap_resamples=100, picture_width_px=700))


def test_the_stage_writes_a_report_and_pictures_and_logs_the_metrics(stage: Stage[EvaluateConfig]) -> None:
    run(stage)
    assert {path.name for path in stage.out.iterdir()} == {"report.json", "pictures"}
    report = read_report(stage.out / "report.json")
    assert report.model.sha256 == "a" * 64 and report.beats_baseline and report.training is not None
    metric = report.groups[0].metric("image/psnr")
    assert metric is not None and metric.value is not None and 30 < metric.value < 40
    assert {"overview-synthetic.png", "curve.png", "preview.png"} <= {
        p.name for p in (stage.out / "pictures").iterdir()
    }
    (line,) = (stage.run_dir / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["values"]["synthetic/test/image/psnr"] == metric.value
    assert json.loads((stage.run_dir / "progress.json").read_text()) == {"done": 1, "total": 1, "unit": "clips"}


def test_two_runs_write_the_same_bytes(stage: Stage[EvaluateConfig]) -> None:
    run(stage)
    first = write_manifest(stage.out, "evaluate")["digest"]
    shutil.rmtree(stage.out)
    stage.out.mkdir()
    run(stage)
    assert write_manifest(stage.out, "evaluate")["digest"] == first


def test_with_nothing_reconstructed_the_reason_is_passed_on(stage: Stage[EvaluateConfig]) -> None:
    reconstruct = stage.input("reconstruct")
    (reconstruct / "index.json").unlink()
    (reconstruct / "not_applicable.json").write_text('{"reason": "no held-out clip has camera poses"}\n')
    run(stage)
    assert [path.name for path in stage.out.iterdir()] == ["not_applicable.json"]
    assert json.loads((stage.out / "not_applicable.json").read_text())["reason"] == "no held-out clip has camera poses"


def test_a_missing_render_is_named(stage: Stage[EvaluateConfig]) -> None:
    (path,) = (stage.input("reconstruct") / "renders").iterdir()
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        run(stage)


def test_the_stage_stops_when_told_to(stage: Stage[EvaluateConfig]) -> None:
    stage.stop_requested = True
    with pytest.raises(Preempted):
        run(stage)
    assert not (stage.out / "report.json").exists()
