"""Stage 2-3: the generator rolls itself out, and two score networks say where its videos should move.

arXiv 2506.08009 algorithm 1 with the report's regression term (2605.18137 section 3.2, stage 2-3). The real score is
the bidirectional network, frozen; the fake score starts as it and follows the generator's videos.
"""

import copy

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worldmodel.training.loop import adamw
from worldmodel.training.schedule import ema_decay, update_ema
from worldmodel.worldgen.conditions import Conditions
from worldmodel.worldgen.config import DmdTraining
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.draws import Batch
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.noise import add_noise, chunk_bounds, clip_sigmas, draw_noise, per_frame, to_clean
from worldmodel.worldgen.objectives import dmd_gradient, dmd_loss, flow_loss
from worldmodel.worldgen.sampling import few_step_solver, sample_causal
from worldmodel.worldgen.training import GenerativeModule, Setting, few_step_validation


class DmdModule(GenerativeModule):
    """A step updates the fake score; every `ratio`-th also the generator, first.

    Attributes:
        fake: the fake score.
        frozen: the real score alone, in a list so that it is no submodule.
    """

    stage = "dmd"

    def __init__(self, generator: Denoiser, real: Denoiser, config: DmdTraining, setting: Setting) -> None:
        super().__init__(generator, config, setting)
        self.automatic_optimization = False
        self.dmd = config
        self.fake = copy.deepcopy(real).train().requires_grad_(True)
        self.frozen = [real.eval().requires_grad_(False)]

    def optimizers_at_start(self) -> list[Optimizer]:
        return [adamw(self.network, self.config), adamw(self.fake, self.config, self.dmd.fake_lr)]

    def on_fit_start(self) -> None:
        self.frozen[0].to(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        step, (index, data) = self.start + batch_idx, batch
        generator_optimizer, fake_optimizer = self.trainer.optimizers
        parts: dict[str, Tensor] = {}
        if step % self.dmd.ratio == 0:
            loss, parts = self.generator_loss(data, step, index)
            self._descend(loss, self.network, generator_optimizer)
        loss = self.fake_loss(data, step, index)
        self._descend(loss, self.fake, fake_optimizer)
        self.parts = self.parts | parts | {"fake_flow": loss.detach()}

    def after_step(self, done: int) -> None:
        if (done - 1) % self.dmd.ratio == 0:
            update_ema(self.average, self.network, ema_decay(self.dmd.ema, 1 + (done - 1) // self.dmd.ratio))

    def record(self) -> dict[str, float]:
        """No `loss`: neither the generator's nor the fake score's says how good the videos are."""
        return {name: round(float(part), 6) for name, part in self.parts.items()}

    def validation_values(self) -> dict[str, float]:
        return few_step_validation(self)

    def generator_loss(self, data: LatentBatch, step: int, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Distribution matching on a rollout with a gradient, and regression on real clips; total and parts."""
        rng = self.rng(index, "generator")
        x = self.rollout(data, step, rng, differentiable=True)
        gradient = self.gradient(x.detach(), data.conditions, rng)
        total = dmd_loss(x, gradient, self.given)
        parts = {"gradient_rms": gradient[:, ~self.given].square().mean().sqrt()}
        if self.dmd.regression:
            regression = self._regression(data, rng)
            total = total + self.dmd.regression * regression
            parts["regression"] = regression.detach()
        return total, parts

    def fake_loss(self, data: LatentBatch, step: int, index: int) -> Tensor:
        """The flow loss of the fake score on a rollout of its own."""
        rng = self.rng(index, "fake")
        x = self.rollout(data, step, rng, differentiable=False)
        sigma, noise = self._noise_at_one_level(x, rng)
        velocity = self.fake(add_noise(x, noise, sigma), sigma, data.conditions, "full")
        return flow_loss(velocity, x, noise, self.given)

    def rollout(self, data: LatentBatch, step: int, rng: torch.Generator, differentiable: bool) -> Tensor:
        """Videos of the generator, left at a few-step level that all clips, chunks and ranks of a step share."""
        sigmas = self.few_sigmas
        kind = "with gradient" if differentiable else "without"
        exit_step = int(torch.randint(len(sigmas), (1,), generator=self.rng(step, "exit", kind)))
        shape = (len(data.z), len(sigmas), *data.z.shape[1:])
        noise = draw_noise(shape, rng).to(data.z.device)
        solver = few_step_solver(sigmas, exit_step, differentiable)
        return sample_causal(self.network, data.conditions, noise, solver)

    @torch.no_grad()
    def gradient(self, x: Tensor, conditions: Conditions, rng: torch.Generator) -> Tensor:
        """Where the two scores part, at a noise level of its own for each clip; float64."""
        sigma, noise = self._noise_at_one_level(x, rng)
        noisy = add_noise(x, noise, sigma)
        fake = self.fake(noisy, sigma, conditions, "full")
        real = self._real_velocity(noisy, sigma, conditions)
        return dmd_gradient(x, to_clean(noisy, real, sigma), to_clean(noisy, fake, sigma), self.given)

    def _real_velocity(self, noisy: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        (score,) = self.frozen
        asked: Tensor = score(noisy, sigma, conditions, "full")
        if self.dmd.guidance == 1:
            return asked
        without: Tensor = score(noisy, sigma, conditions.without("tags"), "full")
        return without + self.dmd.guidance * (asked - without)

    def _noise_at_one_level(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        sigma = clip_sigmas(len(x), x.shape[1], self.setting.noise.shift, rng)
        sigma = sigma.clamp(self.dmd.lowest, self.dmd.highest).masked_fill(self.given, 0)
        return sigma.to(x.device), self.noise_like(x, rng)

    def _regression(self, data: LatentBatch, rng: torch.Generator) -> Tensor:
        """The teacher-forced flow loss on real clips, each chunk at one of the few levels."""
        frames, chunk = data.z.shape[1], self.network.config.chunk
        drawn = torch.randint(len(self.few_sigmas), (len(data.z), len(chunk_bounds(frames, chunk))), generator=rng)
        sigma = torch.tensor(self.few_sigmas)[per_frame(drawn, frames, chunk)].masked_fill(self.given, 0)
        sigma, noise = sigma.to(data.z.device), self.noise_like(data.z, rng)
        x = add_noise(data.z, noise, sigma)
        velocity = self.network(x, sigma, data.conditions, "teacher_forcing", clean=data.z)
        return flow_loss(velocity, data.z, noise, self.given)

    def _descend(self, loss: Tensor, network: nn.Module, optimizer: Optimizer) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), self.config.clip_norm)
        optimizer.step()
