"""What the training of all WorldGen stages has in common: a network, its moving average, batches and validation."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from worldmodel.training.loop import TrainingModule, adamw
from worldmodel.training.schedule import ema_decay, update_ema
from worldmodel.training.seeds import torch_generator
from worldmodel.worldgen.config import GenerativeLoopConfig, NoiseConfig
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.draws import Batch, Latents, batch_to, training_batch, validation_batch
from worldmodel.worldgen.noise import draw_noise, few_step_sigmas, given_frames
from worldmodel.worldgen.sampling import few_step_solver, sample_causal, sample_noise


class Setting(NamedTuple):
    """What a stage trains on: latents, noise levels, and the seed of all it draws."""

    store: Latents
    noise: NoiseConfig
    seed: int


class GenerativeModule(TrainingModule[Batch]):
    """A denoiser in training.

    Attributes:
        stage: name that separates its random numbers from other stages'.
        network: what is trained.
        average: the moving average of its weights, which is what comes out.
        given: bool [F], the latent frames that count in no loss.
    """

    stage: str

    def __init__(self, network: Denoiser, config: GenerativeLoopConfig, setting: Setting) -> None:
        super().__init__(config)
        self.settings, self.setting = config, setting
        self.network = network.train().requires_grad_(True)
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.given = given_frames(setting.store.n_latent_frames)

    def batch(self, index: int) -> Batch:
        return training_batch(self.setting.store, self.settings, self.setting.seed, self.stage, index)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch[0], batch_to(batch[1], device)

    def optimizers_at_start(self) -> list[torch.optim.Optimizer]:
        return [adamw(self.network, self.config)]

    def after_step(self, done: int) -> None:
        update_ema(self.average, self.network, ema_decay(self.settings.ema, done))

    def rng(self, *purpose: int | str) -> torch.Generator:
        """Random numbers of this stage; those for another purpose are independent."""
        return torch_generator(self.setting.seed, self.stage, *purpose)

    def noise_like(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return draw_noise(x.shape, generator).to(x.device)

    @property
    def few_sigmas(self) -> list[float]:
        return few_step_sigmas(self.setting.noise.few_steps, self.setting.noise.shift)


@torch.no_grad()
def few_step_validation(module: GenerativeModule) -> dict[str, float]:
    """Validation samples rolled out in few steps by the average, against the true latents; empty without any.

    Returns:
        `val_mse`: mean squared error of the latents, whose channels have variance 1 on average. `val_motion` and
        `val_spread`: mean absolute change from latent frame to latent frame, and standard deviation, as shares of the
        truth's. Motion that dies or colours that saturate show there first.
    """
    found = validation_batch(module.setting.store, module.settings)
    if found is None:
        return {}
    rows, batch = found
    batch = batch_to(batch, module.device)
    sigmas = module.few_sigmas
    noise = sample_noise([row.sample_id for row in rows], module.setting.seed, len(sigmas), batch.z.shape[1:])
    made = sample_causal(module.average, batch.conditions, noise.to(module.device), few_step_solver(sigmas))
    values = {
        "val_mse": (made - batch.z)[:, ~module.given].square().mean(),
        "val_motion": _motion(made) / _motion(batch.z),
        "val_spread": made[:, ~module.given].std() / batch.z[:, ~module.given].std(),
    }
    return {name: round(float(value), 6) for name, value in values.items()}


def _motion(latents: Tensor) -> Tensor:
    return latents.diff(dim=1).abs().mean()
