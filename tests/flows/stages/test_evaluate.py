import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation.config import EvaluateConfig
from evaluation.records import read_report
from flows.manifest import digest, write_manifest
from flows.stage import Stage
from flows.stages import prepare
from flows.stages.evaluate import run
from worldmodel.data.config import PrepareConfig
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.recalls import Recalls, recalls_json
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
WEIGHTS = {
    "train_worldrec/model.safetensors": b"reconstructor",
    "train_tokenizer/tokenizer/tokenizer.safetensors": b"codec",
    "worldgen_dmd/model.safetensors": b"generator",
}
TRAINING = (
    "train_worldrec",
    "train_tokenizer",
    "worldgen_bidirectional",
    "worldgen_teacher_forcing",
    "worldgen_ode_distillation",
    "worldgen_dmd",
)
PARTS = {
    name: sha256(weights).hexdigest()
    for name, weights in zip(("worldrec", "tokenizer", "worldgen"), WEIGHTS.values(), strict=True)
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of the real `prepare`, of a training of two steps, and renders that are the truth with noise."""
    root = tmp_path_factory.mktemp("workspace")
    write_sources(root / "data/sources.json", resolve_specs(["synthetic"]))
    (root / "data/recalls.json").write_text(recalls_json(Recalls()))
    stage = _stage(root, "prepare", PrepareConfig.model_validate(SMALL))
    prepare.run(stage)
    out = root / "artifacts"
    out.mkdir()
    stage.out.rename(out / "prepare")
    for name in (*TRAINING, "reconstruct", "reconstruct/renders", "train_tokenizer/tokenizer", "rollout"):
        (out / name).mkdir()
    for name, weights in WEIGHTS.items():
        (out / name).write_bytes(weights)
    for name in TRAINING:
        (out / name / "history.json").write_text(json.dumps(HISTORY))
    _render(ClipStore(out / "prepare"), out / "reconstruct")
    _roll_out(ClipStore(out / "prepare"), out / "rollout")
    for name in ("prepare", *TRAINING, "reconstruct", "rollout"):
        write_manifest(out / name, name)
    return root


def _roll_out(store: ClipStore, out: Path) -> None:
    samples = []
    for clip_id in store.clip_ids("test"):
        clip, sample_id = store.load(clip_id), f"{clip_id}.front.000"
        truth = np.ascontiguousarray(clip.rgb[:, clip.cameras.index("front")])
        repeated = np.repeat(truth[:1], len(truth), 0)
        made = {"repeat_last_frame": repeated, "repeat_last_frame_tokenizer": repeated, "dmd": truth // 2}
        for name, video in (made | {"tokenizer": truth}).items():
            (out / "videos" / name).mkdir(parents=True, exist_ok=True)
            save_file({"rgb": video}, out / "videos" / name / f"{sample_id}.safetensors")
        facts = {"log_id": clip.log_id, "source": "synthetic", "split": "test", "same_log": False, "role": "generated"}
        place = {"sample_id": sample_id, "clip_id": clip_id, "camera": "front", "frame_indices": [0, 1, 2, 3]}
        samples.append(facts | place)
    weights = {"repeat_last_frame": None, "dmd": sha256(b"generator").hexdigest()}
    index = {
        "frames": 4,
        "rate_hz": 10.0,
        "methods": [{"name": name, "steps": 4, "weights_sha256": digest} for name, digest in weights.items()],
        "samples": samples,
        "tokenizer_sha256": sha256(b"codec").hexdigest(),
        "left_out": [],
    }
    (out / "index.json").write_text(json.dumps(index))


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
        entries.append(
            entry | {"context_frames": list(context_frames(4, 5)), "target_frames": targets} | {"n_gaussians": 9}
        )
    index = {"model_sha256": sha256(b"reconstructor").hexdigest(), "protocol": {"context_stride": 5}, "clips": entries}
    (out / "index.json").write_text(json.dumps(index))


@pytest.fixture
def stage(artifacts: Path, tmp_path: Path) -> Stage[EvaluateConfig]:
    shutil.copytree(artifacts / "artifacts", tmp_path / "artifacts")
    return _stage(tmp_path, "evaluate", EvaluateConfig(protocol="debug", bootstrap_resamples=100, picture_width_px=700))


def test_the_stage_writes_a_report_and_pictures_and_logs_the_metrics(stage: Stage[EvaluateConfig]) -> None:
    run(stage)
    assert {path.name for path in stage.out.iterdir()} == {"report.json", "report.html", "pictures"}
    report = read_report(stage.out / "report.json")
    assert report.model.parts == PARTS and report.model.sha256 == digest(PARTS)
    assert report.beats_baseline and report.training is not None
    assert set(report.generation_training) == set(TRAINING) - {"train_worldrec", "worldgen_dmd"}
    metric = report.groups[0].metric("image/psnr")
    assert metric is not None and metric.value is not None and 30 < metric.value < 40
    assert {"overview-synthetic.png", "curve.png", "preview.png"} <= {
        p.name for p in (stage.out / "pictures").iterdir()
    }
    assert {"generation-strip-synthetic.png", "generation-synthetic.mp4"} <= {
        p.name for p in (stage.out / "pictures").iterdir()
    }
    (line,) = (stage.run_dir / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["values"]["synthetic/test/image/psnr"] == metric.value
    videos = report.generation[0]
    psnr = videos.metric("dmd", "video/psnr")
    assert psnr is not None and json.loads(line)["values"]["synthetic/test/dmd/video/psnr"] == psnr.value
    assert videos.no_distances == "1 log of generated clips, and a distance needs 8: no FVD claim"
    progress = json.loads((stage.run_dir / "progress.json").read_text())
    assert progress["done"] == progress["total"] > 0 and progress["unit"] == "videos"


def test_two_runs_write_the_same_bytes(stage: Stage[EvaluateConfig]) -> None:
    run(stage)
    first = write_manifest(stage.out, "evaluate")["digest"]
    shutil.rmtree(stage.out)
    stage.out.mkdir()
    run(stage)
    assert write_manifest(stage.out, "evaluate")["digest"] == first


def _without(stage: Stage[EvaluateConfig], name: str) -> None:
    output = stage.input(name)
    (output / "index.json").unlink()
    (output / "not_applicable.json").write_text(json.dumps({"reason": f"no {name}"}))


@pytest.mark.parametrize(("missing", "left"), [("reconstruct", "generation"), ("rollout", "groups")])
def test_without_one_half_the_other_is_measured(stage: Stage[EvaluateConfig], missing: str, left: str) -> None:
    _without(stage, missing)
    run(stage)
    report = read_report(stage.out / "report.json")
    assert (missing, f"no {missing}") in [(entry.what, entry.reason) for entry in report.not_applicable]
    assert {name for name in ("groups", "generation") if getattr(report, name)} == {left}


def test_with_nothing_to_measure_the_reasons_are_passed_on(stage: Stage[EvaluateConfig]) -> None:
    for name in ("reconstruct", "rollout"):
        _without(stage, name)
    run(stage)
    assert [path.name for path in stage.out.iterdir()] == ["not_applicable.json"]
    reason = json.loads((stage.out / "not_applicable.json").read_text())["reason"]
    assert reason == "reconstruct: no reconstruct; rollout: no rollout"


def test_a_bundle_without_a_part_is_measured_as_what_it_is(stage: Stage[EvaluateConfig]) -> None:
    dmd = stage.input("worldgen_dmd")
    (dmd / "model.safetensors").unlink()
    write_manifest(dmd, "worldgen_dmd")
    run(stage)
    assert set(read_report(stage.out / "report.json").model.parts) == {"worldrec", "tokenizer"}


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_other_weights_made_is_not_measured_as_the_models(stage: Stage[EvaluateConfig], name: str) -> None:
    folder = stage.input(name.partition("/")[0])
    (folder.parent / name).write_bytes(b"other")
    write_manifest(folder, folder.name)
    with pytest.raises(DataError, match="was made by other"):
        run(stage)


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
