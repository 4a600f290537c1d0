"""Stage 2-2, second half: the few-step student regresses onto the ends of the teacher's trajectories."""

from dataclasses import replace

import torch
from torch import Tensor

from worldmodel.training.seeds import numpy_generator
from worldmodel.worldgen.config import OdeTraining
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.draws import Batch
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.noise import chunk_bounds, per_frame, to_clean
from worldmodel.worldgen.objectives import ode_regression_loss
from worldmodel.worldgen.ode import Trajectories
from worldmodel.worldgen.pairs import PairRow, PairStore
from worldmodel.worldgen.training import GenerativeModule, Setting, few_step_validation


class DistillationModule(GenerativeModule):
    """Same weights, mask and true past as the teacher; only the levels are few."""

    stage = "ode_distillation"

    def __init__(self, network: Denoiser, config: OdeTraining, setting: Setting, pairs: PairStore) -> None:
        super().__init__(network, config, setting)
        self.pairs, self.same_level = pairs, config.same_level
        self.rows = {row.sample_id: row for row in setting.store.select("train")}

    def batch(self, index: int) -> Batch:
        """The pairs' samples; conditions that the teacher went without are left out."""
        chosen = self._chosen(index)
        loaded = self.setting.store.load([self.rows[row.sample_id] for row in chosen])
        keep = self.pairs.load(chosen, loaded.conditions.first).keep
        return index, LatentBatch(loaded.z, replace(loaded.conditions, keep=keep))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        index, data = batch
        found = self.pairs.load(self._chosen(index), data.conditions.first.cpu()).trajectories
        levels = self._levels(data.z, self.rng(index))
        sigma = torch.tensor(self.few_sigmas)[levels].masked_fill(self.given, 0).to(data.z.device)
        x = at_levels(found, levels).to(data.z.device)
        velocity = self.network(x, sigma, data.conditions, "teacher_forcing", clean=data.z)
        loss = ode_regression_loss(to_clean(x, velocity, sigma), found.ends.to(data.z.device), self.given)
        self.parts = {"regression": loss.detach()}
        return loss

    def validation_values(self) -> dict[str, float]:
        return few_step_validation(self)

    def _chosen(self, index: int) -> list[PairRow]:
        pairs, count = self.pairs.index.pairs, self.settings.batch_size
        rng = numpy_generator(self.setting.seed, "rows", self.stage, index)
        return [pairs[int(i)] for i in rng.choice(len(pairs), count, replace=count > len(pairs))]

    def _levels(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """int64 [B, F]: which of the few levels each latent frame is at."""
        chunk, few = self.network.config.chunk, len(self.few_sigmas)
        columns = 1 if self.same_level else len(chunk_bounds(z.shape[1], chunk))
        drawn = torch.randint(few, (len(z), columns), generator=generator)
        return drawn.expand(-1, z.shape[1]) if self.same_level else per_frame(drawn, z.shape[1], chunk)


def at_levels(trajectories: Trajectories, levels: Tensor) -> Tensor:
    """The states [B, F, C, h, w] with latent frame f of clip b at level number levels[b, f]."""
    clips, frames = levels.shape
    return trajectories.states[torch.arange(clips)[:, None], levels, torch.arange(frames)[None]]
