"""What the WorldGen stages share: their inputs, what makes them not applicable, and how they end."""

import json
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from flows.checks.verdict import require_fit
from flows.stage import NOT_APPLICABLE_FILE, Stage, write_json
from flows.training import follow

if TYPE_CHECKING:
    from worldmodel.training.loop import History
    from worldmodel.worldgen.generator_files import SamplingConfig
    from worldmodel.worldgen.latents import LatentStore
    from worldmodel.worldgen.training import GenerativeModule

Params = TypeVar("Params", bound=BaseModel)


def not_applicable(stage: Stage[Params], reason: str) -> None:
    """Ends the stage without output but the reason."""
    write_json(stage.out / NOT_APPLICABLE_FILE, {"reason": reason})
    stage.say(reason)


def missing_input(stage: Stage[Params], *names: str) -> str | None:
    """Why an earlier stage's output is not there, although that stage succeeded; None where all are."""
    for name in names:
        path = stage.input(name) / NOT_APPLICABLE_FILE
        if path.is_file():
            return f"{name} was not applicable: {json.loads(path.read_text())['reason']}"
    return None


def open_latents(stage: Stage[Params], *weights: str) -> "LatentStore | None":
    """The latents to train on; None, with the reason written, where they or the weights to start from are not there.

    Raises:
        UnfitDataError: the data failed validation.
    """
    require_fit(stage.input("validate") / "verdict.json")
    reason = missing_input(stage, "train_tokenizer", *weights)
    if reason is None:
        from worldmodel.worldgen.latents import LatentStore

        store = LatentStore(stage.input("train_tokenizer"))
        if store.select("train"):
            return store
        reason = "no training sample: every clip of the train split was left out by train_tokenizer"
    not_applicable(stage, reason)
    return None


def train_and_save(stage: Stage[Params], module: "GenerativeModule", sampling: "SamplingConfig") -> None:
    """Trains, then writes the averaged weights, config.json and history.json."""
    from worldmodel.training.loop import train
    from worldmodel.worldgen.generator_files import save_generator

    samples = len(module.setting.store.select("train"))
    stage.say(f"{samples} training samples, {module.config.steps} steps of {module.settings.batch_size}")
    train(module, stage.resume_dir, follow(stage))
    save_generator(module.average, sampling, stage.out)
    write_json(stage.out / "history.json", {"steps": module.history})
    stage.say(_verdict(module.history))


def _verdict(history: "History") -> str:
    """Whether the loss fell: on validation samples where it was measured twice, else in training, else unknown."""
    from worldmodel.training.loop import loss_change

    measured = [record["val_loss"] for record in history if "val_loss" in record]
    if len(measured) > 1:
        (first, *_, last), where = measured, "the loss on validation samples"
    elif "loss" in history[-1]:
        (first, last), where = loss_change(history), "the training loss (means of the first and last tenth)"
    else:
        return "no loss of this stage says how good its videos are: the rollout does"
    return f"{where} {'fell' if last < first else 'did NOT fall'}: {first:.4f} to {last:.4f}"
