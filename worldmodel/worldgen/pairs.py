"""ODE pairs on disk: one file per trajectory, without its noise, which is drawn again from its seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError
from worldmodel.training.seeds import numpy_generator, torch_generator
from worldmodel.worldgen.conditions import drop_conditions
from worldmodel.worldgen.config import NoiseConfig, OdePairsConfig
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.draws import batch_to
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.noise import draw_noise
from worldmodel.worldgen.ode import Trajectories, integrate

INDEX_FILE, FOLDER = "index.json", "pairs"
_FIX = "run the worldgen_ode_pairs stage again"


class PairRow(BaseModel):
    """One trajectory: of which sample; `pair` is its number, which names its file and is part of its noise's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: int
    sample_id: str


class PairIndex(BaseModel):
    """index.json: noise levels, Euler steps, the seed of the noise, and the pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    noise: NoiseConfig
    steps: int
    guidance: float
    seed: int
    bytes: int
    pairs: tuple[PairRow, ...]

    def json_value(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class StoredPairs:
    """Trajectories and `keep` [B, 4], which conditions the teacher had."""

    trajectories: Trajectories
    keep: Tensor


def pair_file(directory: Path, pair: int) -> Path:
    return directory / f"{pair:06d}.safetensors"


def pair_noise(shape: Sequence[int], seed: int, pair: int) -> Tensor:
    """The noise that a trajectory starts from, [F, C, h, w]."""
    return draw_noise(shape, torch_generator(seed, "ode_pairs", pair))


def pair_bytes(shape: Sequence[int], config: OdePairsConfig, levels: int) -> int:
    """Bytes of all pairs' tensors: every kept state of latents [F, C, h, w] but the noise, and the end."""
    return config.pairs * levels * torch.Size(shape).numel() * (2 if config.dtype == "bfloat16" else 4)


def save_pair(path: Path, states: Tensor, end: Tensor, keep: Tensor, dtype: str) -> None:
    """Writes one trajectory: states [S, F, C, h, w], of which the first, the noise, is left out."""
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    tensors = {"states": states[1:].to(kind), "end": end.to(kind), "keep": keep.to(torch.uint8)}
    with atomic_file(path) as file:
        file.write(save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))


def make_pairs(
    teacher: Denoiser, data: LatentBatch, noise: NoiseConfig, config: OdePairsConfig, seed: int, start: int
) -> StoredPairs:
    """Trajectories number `start` and following, one for each clip of `data`; on the CPU."""
    numbers = range(start, start + len(data))
    dropped = drop_conditions(data.conditions, config.drop, numpy_generator(seed, "drop", "ode_pairs", start))
    begin = torch.stack([pair_noise(data.z.shape[1:], seed, number) for number in numbers])
    device = next(teacher.parameters()).device
    moved = batch_to(LatentBatch(data.z, dropped), device)
    found = integrate(teacher, moved, begin.to(device), noise, config.steps, config.guidance)
    return StoredPairs(Trajectories(found.states.cpu(), found.ends.cpu()), dropped.keep)


class PairStore:
    """The finished output of worldgen_ode_pairs.

    Raises:
        DataError: no readable index.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = directory / INDEX_FILE
        try:
            self.index = PairIndex.model_validate(json.loads(path.read_text()))
        except (OSError, ValueError, ValidationError) as error:
            raise DataError(f"{path}: no readable index of pairs", got=str(error), fix=_FIX) from error

    def load(self, rows: Sequence[PairRow], first: Tensor) -> StoredPairs:
        """Trajectories of clips whose first clean latent frame is `first` [B, C, h, w].

        Raises:
            DataError: a file is missing or damaged.
        """
        files = [self._read(row.pair) for row in rows]
        ends = torch.stack([file["end"].float() for file in files])
        noises = torch.stack([pair_noise(ends.shape[1:], self.index.seed, row.pair) for row in rows])
        noises = torch.cat([first[:, None].to(noises.device), noises[:, 1:]], dim=1)
        later = torch.stack([file["states"].float() for file in files])
        keep = torch.stack([file["keep"].bool() for file in files])
        return StoredPairs(Trajectories(torch.cat([noises[:, None], later], dim=1), ends), keep)

    def _read(self, pair: int) -> dict[str, Tensor]:
        path = pair_file(self.directory / FOLDER, pair)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: no readable ODE pair", got=str(error), fix=_FIX) from error
