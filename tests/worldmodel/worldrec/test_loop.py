"""Training as a whole: the loss falls, along a known curve, and what comes out is what the docs say."""

import json
import math
import warnings
from pathlib import Path

import pytest

from tests.golden.worldrec_loss import GOLDEN, trajectory
from worldmodel.errors import DataError
from worldmodel.training.follow import Follow
from worldmodel.training.loop import loss_change
from worldmodel.worldrec.config import LatticeConfig, TrainConfig, WorldRecConfig
from worldmodel.worldrec.loop import TrainingData, fit
from worldmodel.worldrec.views import ClipTensors
from worldmodel.worldrec.weights import load_worldrec, save_worldrec


def test_the_loss_falls_and_follows_the_golden_curve() -> None:
    golden, history = json.loads(GOLDEN.read_text()), trajectory()
    first, last = loss_change(history)
    assert last < 0.8 * first
    assert [record["step"] for record in history] == [record["step"] for record in golden]
    for name in ("loss", "l1", "ssim", "depth", "evidence_depth"):
        # the first steps agree closely on any machine; rounding then grows along the run
        assert history[0][name] == pytest.approx(golden[0][name], rel=1e-3)
        assert [r[name] for r in history] == pytest.approx([r[name] for r in golden], rel=0.1, abs=1e-3)


def test_the_history_says_what_each_record_is_of(
    small: WorldRecConfig, short_run: TrainConfig, clips: list[ClipTensors], tmp_path: Path
) -> None:
    told: dict[int, dict[str, float]] = {}
    steps: list[tuple[int, int]] = []
    follow = Follow(metrics=told.__setitem__, progress=lambda done, total: steps.append((done, total)))
    history = fit(small, short_run, TrainingData(clips, clips[:2]), 0, tmp_path, follow).history
    assert steps == [(done, 12) for done in range(1, 13)]
    assert [record["step"] for record in history] == [3, 6, 9, 12] == list(told)
    assert [("val_psnr" in record) for record in history] == [False, True, False, True]
    assert all(math.isfinite(value) for record in history for value in record.values())
    parts = {"l1", "ssim", "depth", "sky", "velocity", "lifespan", "evidence_depth"}
    assert parts | {"step", "loss", "lr"} == set(history[0])
    assert history[0]["loss"] == pytest.approx(sum(history[0][part] for part in parts), abs=1e-5)


def test_without_validation_clips_no_validation_is_reported(
    small: WorldRecConfig, short_run: TrainConfig, clips: list[ClipTensors], tmp_path: Path
) -> None:
    history = fit(small, short_run, TrainingData(clips), 0, tmp_path, Follow()).history
    assert not any("val_psnr" in record for record in history)


def test_half_precision_features_train_too(
    small: WorldRecConfig, short_run: TrainConfig, clips: list[ClipTensors], tmp_path: Path
) -> None:
    config = short_run.model_copy(update={"precision": "bf16-mixed", "steps": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(small, config, TrainingData(clips), 0, tmp_path, Follow()).history
    assert math.isfinite(history[-1]["loss"])


def test_saved_weights_load_into_the_same_model_and_the_same_bytes(
    small: WorldRecConfig, short_run: TrainConfig, clips: list[ClipTensors], tmp_path: Path
) -> None:
    model = fit(small, short_run.model_copy(update={"steps": 3}), TrainingData(clips), 0, tmp_path, Follow()).model
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    save_worldrec(model, tmp_path / "a")
    loaded = load_worldrec(tmp_path / "a")
    save_worldrec(loaded, tmp_path / "b")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert loaded.config == small
    assert not loaded.training


def test_damaged_weights_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no usable WorldRec weights"):
        load_worldrec(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(DataError, match="no usable WorldRec weights"):
        load_worldrec(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"evidence_stride": 16}, "evidence_stride 16 is none of the backbone's strides"),
        ({"levels": 4}, "levels 4"),
        ({"groups": 3}, "width 40 is not a multiple of groups 3"),
        ({"near_m": 200.0}, "near_m 200.0 must be below far_m"),
        ({"grid": 3}, "evidence_stride 4 is not a multiple of grid 3"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused_with_the_reason(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldRecConfig.model_validate(wrong)


def test_other_configs_check_themselves_too() -> None:
    with pytest.raises(ValueError, match="warmup 30 must be shorter than steps 10"):
        TrainConfig(steps=10)
    with pytest.raises(ValueError, match="near_m must be below far_m"):
        LatticeConfig(near_m=50, far_m=10)
