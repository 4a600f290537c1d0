"""What every codec offers.

Frames are [B, T, H, W, 3] in [0, 1] with T = 1 + 4k; latents are [B, F, C, h, w] with F = 1 + k. Latent frame 0 holds
frame 0 alone, latent frame f the frames 4f - 3 to 4f. On the training split latents have mean 0 in each channel and
variance 1 on average over the channels, for the first latent frame and for the others apart: they hold one frame and
four. Whether every channel has variance 1 is the codec's choice (`LinearConfig.whitening`).
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from pydantic import BaseModel
from torch import Tensor

from worldmodel.errors import DataError
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE


@dataclass(frozen=True)
class DecodeState:
    """Where a streaming decode stands: the latent frames done, and what the decoder keeps of them."""

    done: int = 0
    features: tuple[Tensor | str | None, ...] = ()


class Codec(Protocol):
    """A tokenizer ready for use: no gradients, the same output for the same input."""

    kind: ClassVar[str]

    @property
    def latent_channels(self) -> int:
        """C."""
        ...

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent cell, down and across."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of frames. Raises DataError for frames that do not fit (see `check_frames`)."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Frames of latents that start with latent frame 0."""
        ...

    def decode_chunk(self, z: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        """Frames of the next latents of a video; chunk after chunk gives what `decode` gives of the whole.

        Args:
            z: [B, c, C, h, w].
            state: what the call before returned; None at the start of a video. It is not changed.
        """
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same codec, computing there."""
        ...

    def architecture(self) -> BaseModel:
        """What `from_tensors` needs beside the tensors."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All numbers of the codec, by name."""
        ...

    @classmethod
    def from_tensors(cls, architecture: str, tensors: dict[str, Tensor]) -> Self:
        """The inverse of `architecture` (as JSON) and `tensors`."""
        ...


def check_frames(frames: Tensor, stride: int) -> None:
    """Raises DataError unless frames are [B, 1 + 4k, H, W, 3] with H and W multiples of `stride`."""
    fits = frames.ndim == 5 and frames.shape[-1] == 3 and frames.shape[1] % TEMPORAL_STRIDE == 1
    if not fits or frames.shape[2] % stride or frames.shape[3] % stride:
        raise DataError(
            "frames do not fit the tokenizer",
            expected=f"[B, 1 + {TEMPORAL_STRIDE}k, H, W, 3] with H and W multiples of {stride}",
            got=str(list(frames.shape)),
            fix="set prepare.height and prepare.width to multiples of the tokenizer's spatial stride",
        )


def by_kind(values: Tensor, start: int, n_latents: int) -> Tensor:
    """[F, C, 1, 1] out of [2, C]: row 0 for latent frame 0, row 1 for the others, for latent frames from `start`."""
    rows = torch.tensor([0 if start + f == 0 else 1 for f in range(n_latents)], device=values.device)
    return values[rows][..., None, None]
