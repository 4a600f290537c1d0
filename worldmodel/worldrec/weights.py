"""A trained WorldRec on disk: `model.safetensors` (its config as the one metadata key) and `config.json` beside it."""

import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from worldmodel.errors import DataError
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.model import WorldRec

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"


def save_worldrec(model: WorldRec, directory: Path) -> None:
    """Writes both files; the same weights give the same bytes."""
    config = json.dumps(model.config.model_dump(mode="json"), sort_keys=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    path = directory / WEIGHTS_FILE
    aside = path.with_suffix(".partial")
    aside.write_bytes(save(tensors, metadata={"config": config}))
    aside.rename(path)
    (directory / CONFIG_FILE).write_text(json.dumps(json.loads(config), indent=2, sort_keys=True) + "\n")


def load_worldrec(directory: Path) -> WorldRec:
    """The model in evaluation mode, on the CPU.

    Raises:
        DataError: the file is missing, damaged, or not a WorldRec.
    """
    path = directory / WEIGHTS_FILE
    try:
        with safe_open(path, "pt") as file:
            config = WorldRecConfig.model_validate_json((file.metadata() or {}).get("config", ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = WorldRec(config)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, ValidationError, RuntimeError) as error:
        raise DataError(
            f"{path}: no usable WorldRec weights", got=str(error), fix="run the train_worldrec stage again"
        ) from error
    return model.eval().requires_grad_(False)
