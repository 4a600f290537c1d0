"""Reading what `train_tokenizer` wrote: every sample's latents and conditions, as batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from worldmodel.data.manifest import Split
from worldmodel.errors import DataError
from worldmodel.worldgen.conditions import CONDITIONS, Conditions
from worldmodel.worldgen.ego_motion import EGO_VALUES
from worldmodel.worldgen.samples import LeftOut, SampleRow
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE, Codecs

__all__ = ["INDEX_FILE", "LATENTS_FOLDER", "LatentBatch", "LatentIndex", "LatentStore", "SampleRow"]

INDEX_FILE, LATENTS_FOLDER = "index.json", "latents"
_FIX = "fetch the artifact again (`dvc checkout`) or run the train_tokenizer stage again"


class LatentIndex(BaseModel):
    """index.json.

    Attributes:
        codec, tokenizer_sha256: what made the latents.
        frames, rate_hz, image_size: of a sample, with height and width in pixels.
        latent_shape: C, h, w.
        tag_keys, vocabulary: of the samples' tag tokens.
        psnr: dB through the tokenizer by split, a mean over samples; `same_log` apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    codec: Codecs
    tokenizer_sha256: str
    frames: int
    rate_hz: float
    image_size: tuple[int, int]
    latent_shape: tuple[int, int, int]
    tag_keys: tuple[str, ...]
    vocabulary: tuple[str, ...]
    samples: tuple[SampleRow, ...]
    left_out: tuple[LeftOut, ...]
    psnr: dict[str, float]


@dataclass(frozen=True)
class LatentBatch:
    """B samples: latents z [B, F, C, h, w] and what steers them."""

    z: Tensor
    conditions: Conditions

    def __len__(self) -> int:
        return len(self.z)


class LatentStore:
    """The samples of a finished train_tokenizer stage.

    Args:
        directory: artifacts/train_tokenizer.
        cache_bytes: samples read are kept in memory up to this size in all.

    Raises:
        DataError: there is no index, it is damaged, or of another schema version.
    """

    def __init__(self, directory: Path, cache_bytes: int = 2 << 30) -> None:
        self.directory = directory
        self.index = _read_index(directory / INDEX_FILE)
        self.rows = list(self.index.samples)
        self.vocabulary, self.latent_shape = self.index.vocabulary, self.index.latent_shape
        self.frames, self.rate_hz, self.image_size = self.index.frames, self.index.rate_hz, self.index.image_size
        self.n_latent_frames = 1 + (self.frames - 1) // TEMPORAL_STRIDE
        self._cache: dict[str, dict[str, Tensor]] = {}
        self._room = cache_bytes

    def select(self, split: Split, sources: Sequence[str] | None = None) -> list[SampleRow]:
        """The samples of a split, of these sources (None = all), in index order."""
        return [row for row in self.rows if row.split == split and (sources is None or row.source in sources)]

    def load(self, rows: Sequence[SampleRow]) -> LatentBatch:
        """A batch, on the CPU.

        Raises:
            DataError: a sample's file is missing, damaged, or not of the index's shape; names it.
        """
        read = [self._sample(row) for row in rows]
        stacked = {name: torch.stack([sample[name] for sample in read]) for name in self._shapes()}
        z = stacked.pop("z")
        tags = torch.tensor([row.tags for row in rows], dtype=torch.int64).reshape(len(rows), -1)
        keep = torch.ones(len(rows), len(CONDITIONS), dtype=torch.bool)
        return LatentBatch(z, Conditions(**stacked, tags=tags, keep=keep, first=z[:, 0].clone()))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        length, (_, h, w) = self.n_latent_frames, self.latent_shape
        return {
            "z": (length, *self.latent_shape),
            "layout": (length, TEMPORAL_STRIDE, *self.image_size, 3),
            "prior": (length, *self.latent_shape),
            "prior_alpha": (length, h, w),
            "ego": (length, EGO_VALUES),
        }

    def _sample(self, row: SampleRow) -> dict[str, Tensor]:
        if row.sample_id in self._cache:
            return self._cache[row.sample_id]
        sample = self._read(self.directory / LATENTS_FOLDER / f"{row.sample_id}.safetensors")
        size = sum(tensor.nbytes for tensor in sample.values())
        if size <= self._room:
            self._cache[row.sample_id] = sample
            self._room -= size
        return sample

    def _read(self, path: Path) -> dict[str, Tensor]:
        try:
            sample = load_file(path)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: latents cannot be read", got=str(error), fix=_FIX) from error
        for name, shape in self._shapes().items():
            wanted = torch.uint8 if name == "layout" else torch.float32
            if name not in sample or sample[name].shape != shape or sample[name].dtype != wanted:
                got = f"{sample[name].dtype} {list(sample[name].shape)}" if name in sample else "nothing"
                raise DataError(f"{path}: field {name}", expected=f"{wanted} {list(shape)}", got=got, fix=_FIX)
        return sample


def _read_index(path: Path) -> LatentIndex:
    try:
        return LatentIndex.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path}: no usable index of latents", expected="schema_version 1", got=str(error), fix=_FIX
        ) from error
