"""Which samples a step sees, and what is left out of them: pure functions of the seed and the step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from worldmodel.training.seeds import numpy_generator
from worldmodel.training.sources import clip_weights
from worldmodel.worldgen.conditions import drop_conditions
from worldmodel.worldgen.config import GenerativeLoopConfig
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.samples import SampleRow

if TYPE_CHECKING:
    from worldmodel.data.manifest import Split

Batch = tuple[int, LatentBatch]


class Latents(Protocol):
    """The part of `LatentStore` that training needs."""

    n_latent_frames: int

    def select(self, split: "Split", sources: Sequence[str] | None = None) -> list[SampleRow]: ...
    def load(self, rows: Sequence[SampleRow]) -> LatentBatch: ...


def draw_rows(
    rows: Sequence[SampleRow], count: int, min_source_share: float, seed: int, *purpose: int | str
) -> list[SampleRow]:
    """So many rows, different ones while there are enough, with every source seen often enough."""
    weights = clip_weights([row.source for row in rows], min_source_share)
    rng = numpy_generator(seed, "rows", *purpose)
    return [rows[int(index)] for index in rng.choice(len(rows), count, p=weights, replace=count > len(rows))]


def training_batch(store: Latents, config: GenerativeLoopConfig, seed: int, stage: str, index: int) -> Batch:
    """The samples of task `index`, with some of their conditions left out."""
    rows = draw_rows(store.select("train"), config.batch_size, config.min_source_share, seed, stage, index)
    loaded = store.load(rows)
    dropped = drop_conditions(loaded.conditions, config.drop, numpy_generator(seed, "drop", stage, index))
    return index, LatentBatch(loaded.z, dropped)


def validation_batch(store: Latents, config: GenerativeLoopConfig) -> tuple[list[SampleRow], LatentBatch] | None:
    """The first samples of the val split; None where there is none."""
    rows = store.select("val")[: config.validation_samples]
    return (rows, store.load(rows)) if rows else None


def batch_to(batch: LatentBatch, device: torch.device | str) -> LatentBatch:
    """All of it on that device."""
    return LatentBatch(batch.z.to(device), batch.conditions.to(device))
