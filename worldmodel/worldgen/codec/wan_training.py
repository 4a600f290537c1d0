"""Training the learned codec from scratch, and measuring its latents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from worldmodel.data.shards import ClipStore
from worldmodel.training.follow import Follow
from worldmodel.training.loop import TrainingModule, adamw, train
from worldmodel.training.seeds import numpy_generator, torch_generator
from worldmodel.training.sources import clip_weights
from worldmodel.worldgen.codec.wan import WanCodec, build_vae, encode_raw
from worldmodel.worldgen.encoding import to_frames
from worldmodel.worldgen.samples import SampleRow
from worldmodel.worldgen.tokenizer_config import WanArchitecture, WanTrainConfig

_SMALLEST_STD = 1e-4


@dataclass(frozen=True)
class TrainingWindows:
    """The windows to train on, and where their frames lie."""

    store: ClipStore
    rows: Sequence[SampleRow]

    def load(self, index: int, part: slice) -> Tensor:
        """Frames [1, n, H, W, 3] in [0, 1] of a part of window `index`; no other frame is read."""
        row = self.rows[index]
        return to_frames(self.store.load(row.clip_id, row.frame_indices[part]), row.camera)


class WanTraining(TrainingModule[tuple[Tensor, int]]):
    """L1 of the decoded video plus a weighted KL divergence of the posterior (Kingma and Welling 2014)."""

    config: WanTrainConfig

    def __init__(self, vae: AutoencoderKLWan, config: WanTrainConfig, windows: TrainingWindows, seed: int) -> None:
        super().__init__(config)
        self.vae, self.windows, self.seed = vae, windows, seed
        self._weights = clip_weights([row.source for row in windows.rows], config.min_source_share)

    def batch(self, index: int) -> tuple[Tensor, int]:
        """Single frames in the first steps, then windows: [B, n, H, W, 3]; and the task's number."""
        rng = numpy_generator(self.seed, "tokenizer", index)
        images = index < self.config.image_share * self.config.steps
        length, size = (1, self.config.image_batch) if images else (self.config.frames, self.config.batch)
        parts = []
        for row in rng.choice(len(self.windows.rows), size, p=self._weights):
            start = int(rng.integers(0, len(self.windows.rows[row].frame_indices) - length + 1))
            parts.append(self.windows.load(int(row), slice(start, start + length)))
        return torch.cat(parts), index

    def optimizers_at_start(self) -> list[torch.optim.Optimizer]:
        return [adamw(self.vae, self.config)]

    def training_step(self, batch: tuple[Tensor, int], batch_idx: int) -> Tensor:
        frames, index = batch
        video = (frames * 2 - 1).permute(0, 4, 1, 2, 3)
        posterior = self.vae.encode(video).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=torch_generator(self.seed, "posterior", index))
        decoded = self.vae.decode(posterior.mean + posterior.std * noise.to(video)).sample
        kl = posterior.kl().mean() / video[0].numel()
        parts = {"l1": (decoded - video).abs().mean(), "kl": self.config.kl_weight * kl}
        self.parts = {name: part.detach() for name, part in parts.items()}
        loss: Tensor = parts["l1"] + parts["kl"]
        return loss


def train_wan(
    architecture: WanArchitecture,
    config: WanTrainConfig,
    windows: TrainingWindows,
    seed: int,
    resume_dir: Path,
    follow: Follow,
) -> AutoencoderKLWan:
    """Trains for `config.steps` steps, going on from `resume_dir`.

    Raises:
        Preempted: `follow.should_stop` said so; the state is saved.
    """
    torch.manual_seed(seed)
    module = WanTraining(build_vae(architecture).train(), config, windows, seed)
    train(module, resume_dir, follow)
    return module.vae.cpu()


def normalised(
    architecture: WanArchitecture, vae: AutoencoderKLWan, videos: Iterable[Tensor], device: str = "cpu"
) -> WanCodec:
    """The codec whose latents have mean 0 and deviation 1 on these videos [B, T, H, W, 3], by channel and kind."""
    codec = WanCodec(architecture, vae, torch.zeros(2, architecture.z_dim), torch.ones(2, architecture.z_dim)).to(
        device
    )
    kinds: tuple[list[Tensor], list[Tensor]] = ([], [])
    for frames in videos:
        with torch.no_grad():
            raw = encode_raw(vae, frames.to(device), codec.spatial_stride).double().cpu().movedim(2, 0)
        for values, part in zip(kinds, (raw[:, :, :1], raw[:, :, 1:]), strict=True):
            values.append(_moments(part.reshape(len(raw), -1)))
    totals = torch.stack([torch.stack(values).sum(0) for values in kinds])
    mean = totals[:, 1] / totals[:, :1].squeeze(1)
    variance = totals[:, 2] / totals[:, :1].squeeze(1) - mean**2
    codec.mean, codec.std = mean.float(), variance.clamp(min=_SMALLEST_STD**2).sqrt().float()
    return codec


def _moments(values: Tensor) -> Tensor:
    """[3, C]: count, sum and sum of squares of [C, N]."""
    return torch.stack([torch.full((len(values),), float(values.shape[1])).double(), values.sum(1), (values**2).sum(1)])


def spread(rows: Sequence[SampleRow], count: int) -> list[SampleRow]:
    """At most `count` rows, evenly over all of them."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    return [rows[index] for index in chosen]
