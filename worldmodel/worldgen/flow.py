"""Stages 1 and 2-1: rectified flow with full attention, then with the clean past of each chunk (teacher forcing)."""

import torch
from torch import Tensor

from worldmodel.training.seeds import torch_generator
from worldmodel.worldgen.config import BidirectionalTraining, TeacherForcingTraining
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.draws import Batch, batch_to, validation_batch
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.noise import add_noise, chunk_sigmas, clip_sigmas, draw_noise, warp
from worldmodel.worldgen.objectives import flow_loss
from worldmodel.worldgen.training import GenerativeModule, Setting


class BidirectionalModule(GenerativeModule):
    """arXiv 2605.18137 section 3.2, stage 1: every latent frame sees every other; one noise level per clip."""

    stage = "bidirectional"

    def __init__(self, network: Denoiser, config: BidirectionalTraining, setting: Setting) -> None:
        super().__init__(network, config, setting)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        index, data = batch
        generator = self.rng(index)
        sigma = self.sigmas(data.z, generator).to(data.z.device)
        noise = self.noise_like(data.z, generator)
        past = self.past(data.z, generator)
        velocity = self.ask(self.network, data, add_noise(data.z, noise, sigma), sigma, past)
        loss = flow_loss(velocity, data.z, noise, self.given)
        self.parts = {"flow": loss.detach()}
        return loss

    def sigmas(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Noise levels [B, F]."""
        return clip_sigmas(len(z), z.shape[1], self.setting.noise.shift, generator)

    def past(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """What causal attention sees of earlier chunks."""
        return z

    def ask(self, network: Denoiser, data: LatentBatch, x: Tensor, sigma: Tensor, past: Tensor) -> Tensor:
        """The network's velocity at the noisy clips."""
        velocity: Tensor = network(x, sigma, data.conditions, "full")
        return velocity

    @torch.no_grad()
    def validation_values(self) -> dict[str, float]:
        """The average's loss at fixed noise, with levels spread evenly over the samples."""
        found = validation_batch(self.setting.store, self.settings)
        if found is None:
            return {}
        rows, data = found[0], batch_to(found[1], self.device)
        u = (torch.arange(len(rows)) + 0.5) / len(rows)
        sigma = warp(u, self.setting.noise.shift)[:, None].repeat(1, data.z.shape[1])
        sigma = sigma.masked_fill(self.given, 0).to(self.device)
        generators = [torch_generator(self.setting.seed, "validation", row.sample_id) for row in rows]
        noise = torch.stack([draw_noise(data.z.shape[1:], generator) for generator in generators]).to(self.device)
        velocity = self.ask(self.average, data, add_noise(data.z, noise, sigma), sigma, data.z)
        return {"val_loss": round(float(flow_loss(velocity, data.z, noise, self.given)), 6)}


class TeacherForcingModule(BidirectionalModule):
    """Stage 2-1: a noise level per chunk; a chunk sees itself and the clean copies of the chunks before it."""

    stage = "teacher_forcing"

    def __init__(self, network: Denoiser, config: TeacherForcingTraining, setting: Setting) -> None:
        GenerativeModule.__init__(self, network, config, setting)
        self.context_noise = config.context_noise

    def sigmas(self, z: Tensor, generator: torch.Generator) -> Tensor:
        return chunk_sigmas(len(z), z.shape[1], self.network.config.chunk, self.setting.noise.shift, generator)

    def past(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """The true past, a little noisy, as the network's own predictions will be; what is given stays clean."""
        level = self.context_noise * torch.rand(len(z), 1, generator=generator).repeat(1, z.shape[1])
        return add_noise(z, self.noise_like(z, generator), level.masked_fill(self.given, 0).to(z.device))

    def ask(self, network: Denoiser, data: LatentBatch, x: Tensor, sigma: Tensor, past: Tensor) -> Tensor:
        velocity: Tensor = network(x, sigma, data.conditions, "teacher_forcing", clean=past)
        return velocity
