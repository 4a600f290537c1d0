"""A denoiser on disk: its own weights, with the config in the file's metadata, and published Wan2.1 weights."""

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.denoiser_config import DenoiserConfig, FittedDenoiserConfig, LatentSpec

WEIGHTS_FILE = "model.safetensors"
_PATCHES = "patch_embedding.weight"


def new_denoiser(config: DenoiserConfig, latents: LatentSpec) -> Denoiser:
    """A denoiser to train: from published weights if the config names some, else from torch's random state."""
    denoiser = Denoiser(config.fitted(latents))
    if config.pretrained is not None:
        load_pretrained(denoiser, config.pretrained)
    return denoiser


def save_denoiser(model: Denoiser, directory: Path, file: str = WEIGHTS_FILE) -> None:
    """Writes the weights, with the config as the one metadata key; the same weights give the same bytes."""
    config = json.dumps(model.config.model_dump(mode="json"), sort_keys=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_file(directory / file) as out:
        out.write(save(tensors, metadata={"config": config}))


def load_denoiser(directory: Path, file: str = WEIGHTS_FILE) -> Denoiser:
    """The denoiser in evaluation mode, without gradients, on the CPU.

    Raises:
        DataError: the file is missing, damaged, or no denoiser.
    """
    path = directory / file
    try:
        with safe_open(path, "pt") as opened:
            config = FittedDenoiserConfig.model_validate_json((opened.metadata() or {}).get("config", ""))
        denoiser = Denoiser(config)
        denoiser.load_state_dict(load_file(path))
    except (OSError, SafetensorError, ValidationError, RuntimeError) as error:
        raise DataError(
            f"{path}: no usable denoiser weights", got=str(error), fix="run the stage that trains it again"
        ) from error
    return denoiser.eval().requires_grad_(False)


@torch.no_grad()
def load_pretrained(denoiser: Denoiser, path: Path) -> None:
    """Copies the published weights of a text-to-video Wan2.1 transformer; the inputs it lacks start at zero.

    Args:
        denoiser: of the same width, heads, layers, ... as the published network.
        path: a safetensors file, or a directory of them (its shards), with diffusers' names.

    Raises:
        DataError: there are no such files, or they are not of a network of this size.
    """
    published = _published(path)
    own = dict(denoiser.transformer.named_parameters())
    columns = denoiser.config.latents.channels
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    expected[_PATCHES] = (expected[_PATCHES][0], columns, *expected[_PATCHES][2:])
    got = {name: tuple(tensor.shape) for name, tensor in published.items()}
    wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if wrong:
        raise DataError(
            f"{path}: not the weights of a network of this size; {len(wrong)} tensors differ, the first is {wrong[0]}",
            expected=str(expected.get(wrong[0], "no such tensor")),
            got=str(got.get(wrong[0], "no such tensor")),
            fix="take a text-to-video Wan2.1 in diffusers' format, and give the model section its sizes",
        )
    own[_PATCHES].zero_()
    own[_PATCHES][:, :columns] = published.pop(_PATCHES)
    for name, tensor in published.items():
        own[name].copy_(tensor)


def _published(path: Path) -> dict[str, Tensor]:
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    try:
        tensors = {name: tensor for file in files for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path}: published weights cannot be read", got=str(error), fix="download them again"
        ) from error
    if not tensors:
        raise DataError(f"{path}: no *.safetensors here", fix="name the transformer's directory, or null to do without")
    return tensors
