"""Stage `train_worldrec`: training clips to WorldRec weights.

Reads the train split (held-out frames stay on disk) and a few clips of the val split; needs the `validate` verdict.
Writes model.safetensors, config.json and history.json; or not_applicable.json where no training clip has poses.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flows.checks.verdict import require_fit
from flows.stage import Stage, main, write_json
from flows.training import follow, prepare_torch
from worldmodel.data.dataset import TrainClip, train_clips
from worldmodel.data.shards import ClipStore
from worldmodel.worldrec.config import TrainWorldRecConfig

if TYPE_CHECKING:
    from worldmodel.worldrec.loop import Result
    from worldmodel.worldrec.views import ClipTensors


def run(stage: Stage[TrainWorldRecConfig]) -> None:
    require_fit(stage.input("validate") / "verdict.json")
    prepare_torch(stage, stage.params.train.accelerator)
    store = ClipStore(stage.input("prepare"))
    train, left_out = _usable(train_clips(store, "train"))
    if not train:
        reason = "no clip of the train split has camera poses, and WorldRec needs them"
        write_json(stage.out / "not_applicable.json", {"reason": reason, "left_out": left_out})
        stage.say(reason)
        return
    wanted = stage.params.train.validation_clips
    validation, _ = _usable(train_clips(store, "val"), wanted)
    result = _fit(stage, train, validation)
    _finish(stage, result, left_out)


def _fit(stage: Stage[TrainWorldRecConfig], train: "list[ClipTensors]", validation: "list[ClipTensors]") -> "Result":
    from worldmodel.worldrec.loop import TrainingData, fit

    stage.say(f"{len(train)} training clips, {len(validation)} validation clips, {stage.params.train.steps} steps")
    data = TrainingData(train, validation)
    return fit(stage.params.model, stage.params.train, data, stage.seed, stage.resume_dir, follow(stage))


def _usable(clips: Iterable[TrainClip], limit: int | None = None) -> "tuple[list[ClipTensors], list[dict[str, str]]]":
    """Clips as tensors, at most `limit`, and those left out with the reason."""
    from worldmodel.worldrec.views import ClipTensors

    usable: list[ClipTensors] = []
    left_out: list[dict[str, str]] = []
    for item in clips:
        if limit is not None and len(usable) == limit:
            break
        if item.clip.has["poses"]:
            usable.append(ClipTensors.from_clip(item.clip, item.frames))
        else:
            left_out.append({"clip_id": item.clip.clip_id, "reason": "no camera poses"})
    return usable, left_out


def _finish(stage: Stage[TrainWorldRecConfig], result: "Result", left_out: list[dict[str, str]]) -> None:
    from worldmodel.training.loop import loss_change
    from worldmodel.worldrec.weights import save_worldrec

    save_worldrec(result.model, stage.out)
    first, last = loss_change(result.history)
    fell = last < first
    verb = "fell" if fell else "did NOT fall"
    stage.say(f"the loss {verb}: {first:.4f} to {last:.4f} (means of the first and last tenth)")
    write_json(stage.out / "history.json", {"left_out": left_out, "steps": result.history})


if __name__ == "__main__":
    main("train_worldrec", TrainWorldRecConfig, run)
