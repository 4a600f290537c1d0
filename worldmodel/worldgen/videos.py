"""Videos of samples: by a method, by repeating the given frame, or the true ones through the tokenizer."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodel.data.shards import ClipStore
from worldmodel.training.seeds import seed_of
from worldmodel.worldgen.codec.base import Codec
from worldmodel.worldgen.config import Method, RolloutConfig
from worldmodel.worldgen.draws import batch_to
from worldmodel.worldgen.encoding import to_frames
from worldmodel.worldgen.generator_files import load_sampling
from worldmodel.worldgen.inference import Generator, to_pixels
from worldmodel.worldgen.latents import LatentStore
from worldmodel.worldgen.rollout import RECIPES
from worldmodel.worldgen.samples import SampleRow
from worldmodel.worldgen.weights import load_denoiser


class VideoMaker:
    """Makes batches of videos.

    Args:
        store, clips: latents and true frames.
        codec: the tokenizer, where videos are to be made.
        weights: stage -> the directory of its weights.
        config: samplers.
        seed: of the noise, which every method shares for a sample.
    """

    def __init__(
        self,
        store: LatentStore,
        clips: ClipStore,
        codec: Codec,
        weights: Mapping[str, Path],
        config: RolloutConfig,
        seed: int,
    ) -> None:
        self.store, self.clips, self.codec = store, clips, codec
        self.weights, self.config, self.seed = weights, config, seed
        self._generator = cache(self._load)

    @torch.no_grad()
    def make(self, name: str, rows: Sequence[SampleRow], again: int = 0) -> NDArray[np.uint8]:
        """uint8 [B, T, H, W, 3].

        Args:
            name: a method, `repeat_last_frame_tokenizer`, or `tokenizer` for the true frames through it.
            rows: the samples.
            again: which further seed a method's noise is of; 0 = the usual one.
        """
        if name == "tokenizer":
            return self._decoded(self.store.load(rows).z.to(self.config.accelerator))
        if name == "repeat_last_frame":
            return to_pixels(self._repeated(rows))
        if name == "repeat_last_frame_tokenizer":
            return self._decoded(self.codec.encode(self._repeated(rows).to(self.config.accelerator)))
        if name not in get_args(Method):
            raise ValueError(f"no such method: {name}")
        batch = batch_to(self.store.load(rows), self.config.accelerator)
        keys = [row.sample_id for row in rows]
        seed = seed_of(self.seed, "again", again) if again else self.seed
        return self._decoded(self._generator(name).sample(batch.conditions, keys, seed))

    def _decoded(self, latents: Tensor) -> NDArray[np.uint8]:
        return to_pixels(self.codec.decode(latents))

    def _repeated(self, rows: Sequence[SampleRow]) -> Tensor:
        """The given frame, as often as the video is long: [B, T, H, W, 3]."""
        given = [to_frames(self.clips.load(row.clip_id, row.frame_indices[:1]), row.camera) for row in rows]
        return torch.cat(given).repeat(1, self.store.frames, 1, 1, 1)

    def _load(self, name: Method) -> Generator:
        recipe = RECIPES[name]
        folder = self.weights[recipe.stage]
        sampling = load_sampling(folder).model_copy(update={"sampler": recipe.sampler})
        denoiser = load_denoiser(folder).to(self.config.accelerator)
        return Generator(self.codec, denoiser, sampling, self.config.steps, self.config.guidance)
