"""WorldGen for use: load a tokenizer and a generator, and make a video from a first frame and a layout."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodel.errors import DataError, StageError
from worldmodel.geometry.poses import Float
from worldmodel.worldgen.codec.base import Codec
from worldmodel.worldgen.codec.files import load_codec
from worldmodel.worldgen.conditions import CONDITIONS, Conditions
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.ego_motion import ego_motion
from worldmodel.worldgen.encoding import by_latent_frame, encode_prior
from worldmodel.worldgen.generator_files import SamplingConfig, load_sampling
from worldmodel.worldgen.noise import euler_sigmas, few_step_sigmas
from worldmodel.worldgen.sampling import euler_solver, few_step_solver, sample_causal, sample_full, sample_noise
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE
from worldmodel.worldgen.weights import load_denoiser

DEFAULT_STEPS = 20


@dataclass(frozen=True)
class Generator:
    """A tokenizer and a denoiser that knows its latents.

    Attributes:
        sampling: how to sample.
        steps: of a sampler that takes many.
        guidance: towards the tags; 1 = off.
    """

    codec: Codec
    denoiser: Denoiser
    sampling: SamplingConfig
    steps: int = DEFAULT_STEPS
    guidance: float = 1.0

    @torch.no_grad()
    def generate(
        self,
        first_frame: NDArray[np.uint8],
        layout: NDArray[np.uint8],
        *,
        world_from_ego: Float | None = None,
        prior: NDArray[np.uint8] | None = None,
        prior_alpha: NDArray[np.uint8] | Float | None = None,
        tags: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> NDArray[np.uint8]:
        """A video that goes on from the first frame as the layout says.

        Args:
            first_frame: uint8 [H, W, 3].
            layout: uint8 [T, H, W, 3], T = 1 + 4k, a frame every 1 / rate_hz seconds; black where nothing is drawn.
            world_from_ego: [T, 4, 4] in metres, the ego's path (x forward, y left), where it is known.
            prior: uint8 [T, H, W, 3], WorldRec's render at the poses to come, black where alpha is at most 0.5;
                None = no prior. Its frame 0 is not used: the first frame is given.
            prior_alpha: [T, H, W], how much of `prior` shows something: uint8 0..255, or float 0..1. Goes with `prior`.
            tags: for instance {"weather": "rain"}.
            seed: of the noise: the same seed gives the same video.

        Returns:
            uint8 [T, H, W, 3]; frame 0 is the first frame as the tokenizer has it.

        Raises:
            DataError: an input does not fit; names it.
        """
        self._check(first_frame, layout, world_from_ego)
        conditions = self._conditions(first_frame, layout, world_from_ego, self._tokens(tags or {}))
        if prior is not None or prior_alpha is not None:
            conditions = self._with_prior(conditions, first_frame, *_checked_prior(layout, prior, prior_alpha))
        latents = self.sample(conditions, ["generate"], seed)
        video: NDArray[np.uint8] = to_pixels(self.codec.decode(latents))[0]
        return video

    @torch.no_grad()
    def sample(self, conditions: Conditions, keys: list[str], seed: int) -> Tensor:
        """Latents [B, F, C, h, w] of B clips; each clip's noise goes by its key.

        Args:
            conditions: of the B clips and all their latent frames.
            keys: a name for each clip.
            seed: of the noise.
        """
        shape = (conditions.layout.shape[1], *conditions.first.shape[1:])
        noise_config = self.sampling.noise
        if self.sampling.sampler == "few_step":
            sigmas = few_step_sigmas(noise_config.few_steps, noise_config.shift)
            solver, draws = few_step_solver(sigmas), len(sigmas)
        else:
            solver, draws = euler_solver(euler_sigmas(self.steps, noise_config.shift)), 1
        noise = sample_noise(keys, seed, draws, shape).to(conditions.first.device)
        run = sample_full if self.sampling.sampler == "full" else sample_causal
        return run(self.denoiser, conditions, noise, solver, self.guidance)

    def to(self, device: torch.device | str) -> "Generator":
        """The same, computing there."""
        return replace(self, codec=self.codec.to(device), denoiser=self.denoiser.to(device))

    def _check(self, first_frame: np.ndarray, layout: np.ndarray, world_from_ego: np.ndarray | None) -> None:
        size = self.denoiser.config.latents.image_size
        expect("first_frame", first_frame, f"uint8 [{size[0]}, {size[1]}, 3]", (*size, 3))
        whole = "uint8 [T, {}, {}, 3] with T = 1 + {}k, at least {}".format(*size, TEMPORAL_STRIDE, 1 + TEMPORAL_STRIDE)
        expect("layout", layout, whole, (len(layout), *size, 3))
        frames = len(layout)
        if frames % TEMPORAL_STRIDE != 1 or frames <= 1:
            raise DataError("layout: wrong number of frames", expected=whole, got=f"T = {frames}")
        if self.sampling.sampler == "full" and frames > self.sampling.frames:
            raise DataError(
                "layout: this generator makes a clip at once and saw none as long",
                expected=f"at most {self.sampling.frames} frames",
                got=f"T = {frames}",
                fix="take a causal generator (teacher forcing, ODE or DMD)",
            )
        if world_from_ego is not None and np.shape(world_from_ego) != (frames, 4, 4):
            raise DataError("world_from_ego", expected=f"[{frames}, 4, 4]", got=str(list(np.shape(world_from_ego))))

    def _tokens(self, tags: Mapping[str, str]) -> list[int]:
        """A token per tag key; 0 for a key that is not named."""
        keys, vocabulary = self.sampling.tag_keys, self.sampling.vocabulary
        for key, value in tags.items():
            if key not in keys or f"{key}={value}" not in vocabulary:
                raise DataError(
                    f"tags: {key}={value} is not known",
                    expected=" or ".join(vocabulary) or "none",
                    got=f"{key}={value}",
                )
        return [vocabulary.index(f"{key}={tags[key]}") + 1 if key in tags else 0 for key in keys]

    def _conditions(
        self,
        first_frame: NDArray[np.uint8],
        layout: NDArray[np.uint8],
        world_from_ego: Float | None,
        tokens: list[int],
    ) -> Conditions:
        device = next(self.denoiser.parameters()).device
        first = self.codec.encode(torch.from_numpy(first_frame).to(device).float()[None, None] / 255)[:, 0]
        pictures = by_latent_frame(torch.from_numpy(layout))[None]
        prior = torch.zeros(1, pictures.shape[1], *first.shape[1:])
        times_s = np.arange(len(layout)) / self.sampling.rate_hz
        return Conditions(
            layout=pictures,
            prior=prior,
            prior_alpha=torch.zeros_like(prior[:, :, 0]),
            ego=torch.from_numpy(ego_motion(world_from_ego, times_s))[None],
            tags=torch.tensor(tokens, dtype=torch.int64).reshape(1, -1),
            keep=torch.ones(1, len(CONDITIONS), dtype=torch.bool),
            first=first,
        ).to(device)

    def _with_prior(
        self, conditions: Conditions, first_frame: NDArray[np.uint8], rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> Conditions:
        device = conditions.first.device
        first, rendered, shows = (torch.from_numpy(part).to(device) for part in (first_frame, rgb, alpha))
        latents, cells = encode_prior(self.codec, first.float()[None, None] / 255, rendered[None], shows)
        return replace(conditions, prior=latents[None], prior_alpha=cells[None])


def load_generator(tokenizer: Path, worldgen: Path, steps: int = DEFAULT_STEPS) -> Generator:
    """The generator in evaluation mode, on the CPU.

    Args:
        tokenizer: a directory that `save_codec` wrote.
        worldgen: a directory that a WorldGen training stage wrote.
        steps: of a sampler that takes many.

    Raises:
        DataError: a file is missing or damaged, or the two do not belong together.
    """
    codec, denoiser = load_codec(tokenizer), load_denoiser(worldgen)
    latents = denoiser.config.latents
    if (codec.latent_channels, codec.spatial_stride) != (latents.channels, latents.stride):
        raise DataError(
            f"{worldgen}: not a generator for the tokenizer in {tokenizer}",
            expected=f"{codec.latent_channels} channels and stride {codec.spatial_stride}",
            got=f"{latents.channels} and {latents.stride}",
            fix="take both from one run",
        )
    return Generator(codec, denoiser, load_sampling(worldgen), steps)


def to_pixels(frames: Tensor) -> NDArray[np.uint8]:
    """uint8 of frames in [0, 1].

    Raises:
        StageError: a value is not finite: NaN would become black without a word.
    """
    broken = int((~torch.isfinite(frames)).sum())
    if broken:
        raise StageError(
            "frames hold values that are not numbers",
            expected="finite values in 0..1",
            got=f"{broken} of {frames.numel()} values NaN or infinite",
            fix="train again with a lower learning rate: weights or latents that overflow give such frames",
        )
    pixels: NDArray[np.uint8] = (frames.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return pixels


def expect(name: str, array: np.ndarray, wanted: str, shape: tuple[int, ...]) -> None:
    """Raises DataError unless the array is uint8 of this shape."""
    if array.dtype != np.uint8 or array.shape != shape:
        raise DataError(name, expected=wanted, got=f"{array.dtype} {list(array.shape)}")


def _checked_prior(
    layout: NDArray[np.uint8], prior: NDArray[np.uint8] | None, alpha: NDArray[np.uint8] | Float | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The prior and its alpha in 0..255, as the render_priors stage stores them; raises DataError otherwise."""
    if prior is None or alpha is None:
        missing = "prior" if prior is None else "prior_alpha"
        raise DataError(f"{missing}: missing", expected="prior and prior_alpha together, or neither of them")
    size = layout.shape[:3]
    expect("prior", prior, "uint8 [{}, {}, {}, 3], as many frames as the layout".format(*size), layout.shape)
    if np.issubdtype(alpha.dtype, np.floating):
        if not ((alpha >= 0) & (alpha <= 1)).all():
            raise DataError("prior_alpha", expected="0..1 where it is float", got="a value outside")
        alpha = np.rint(255 * alpha).astype(np.uint8)
    expect("prior_alpha", alpha, "uint8 or float [{}, {}, {}]".format(*size), size)
    return prior, alpha.astype(np.uint8, copy=False)
