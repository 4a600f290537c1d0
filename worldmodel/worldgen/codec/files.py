"""A tokenizer on disk: `tokenizer.safetensors` (kind and sizes as its one metadata key) and `config.json` beside it."""

import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError
from worldmodel.worldgen.codec.base import Codec
from worldmodel.worldgen.codec.linear import LinearCodec

WEIGHTS_FILE, CONFIG_FILE = "tokenizer.safetensors", "config.json"


def codec_class(kind: str) -> type[Codec]:
    """The class of a codec. Raises KeyError for an unknown kind."""
    if kind == "wan":
        from worldmodel.worldgen.codec.wan import WanCodec  # diffusers takes seconds to import

        return WanCodec
    return {"linear": LinearCodec}[kind]


def save_codec(codec: Codec, directory: Path) -> None:
    """Writes both files; the same codec gives the same bytes."""
    config = {"codec": codec.kind, "architecture": codec.architecture().model_dump(mode="json")}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in codec.tensors().items()}
    with atomic_file(directory / WEIGHTS_FILE) as file:
        file.write(save(tensors, metadata={"config": json.dumps(config, sort_keys=True)}))
    with atomic_file(directory / CONFIG_FILE) as file:
        file.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def load_codec(directory: Path) -> Codec:
    """The codec, on the CPU.

    Raises:
        DataError: the file is missing, damaged, or no tokenizer.
    """
    path = directory / WEIGHTS_FILE
    try:
        with safe_open(path, "pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return codec_class(config["codec"]).from_tensors(json.dumps(config["architecture"]), tensors)
    except (OSError, SafetensorError, ValidationError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: no usable tokenizer",
            got=f"{type(error).__name__}: {error}",
            fix="run the train_tokenizer stage again",
        ) from error
