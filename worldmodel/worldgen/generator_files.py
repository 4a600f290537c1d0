"""A trained generator on disk: its weights, and config.json, which says how to sample from it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import PositiveFloat, PositiveInt, ValidationError

from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError
from worldmodel.worldgen.config import NoiseConfig
from worldmodel.worldgen.denoiser_config import Frozen

if TYPE_CHECKING:
    from worldmodel.worldgen.denoiser import Denoiser
    from worldmodel.worldgen.latents import LatentIndex

CONFIG_FILE = "config.json"
Sampler = Literal["full", "causal", "few_step"]


class SamplingConfig(Frozen):
    """What a network was trained for.

    Attributes:
        sampler: `full`: all latent frames at once, many steps; `causal`: chunk by chunk, many steps; `few_step`: chunk
            by chunk at the few levels of `noise`.
        noise: the levels it was trained at.
        frames, rate_hz: of the videos it was trained on.
        tag_keys, vocabulary: what its tag tokens mean: 0 = unknown, i + 1 = the vocabulary's entry i.
    """

    sampler: Sampler
    noise: NoiseConfig
    frames: PositiveInt
    rate_hz: PositiveFloat
    tag_keys: tuple[str, ...]
    vocabulary: tuple[str, ...]

    @classmethod
    def of(cls, sampler: Sampler, noise: NoiseConfig, latents: "LatentIndex") -> Self:
        """For a network trained on these latents."""
        return cls(
            sampler=sampler,
            noise=noise,
            frames=latents.frames,
            rate_hz=latents.rate_hz,
            tag_keys=latents.tag_keys,
            vocabulary=latents.vocabulary,
        )


def save_generator(network: "Denoiser", sampling: SamplingConfig, directory: Path) -> None:
    """Writes model.safetensors and config.json; the same weights give the same bytes."""
    from worldmodel.worldgen.weights import save_denoiser

    save_denoiser(network, directory)
    described = {"sampling": sampling.model_dump(mode="json"), "denoiser": network.config.model_dump(mode="json")}
    with atomic_file(directory / CONFIG_FILE) as file:
        file.write((json.dumps(described, indent=2, sort_keys=True) + "\n").encode())


def load_sampling(directory: Path) -> SamplingConfig:
    """How to sample from the network in `directory`.

    Raises:
        DataError: config.json is missing or damaged.
    """
    path = directory / CONFIG_FILE
    try:
        return SamplingConfig.model_validate(json.loads(path.read_text())["sampling"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(
            f"{path}: no usable generator config", got=str(error), fix="run the stage that trains it again"
        ) from error
