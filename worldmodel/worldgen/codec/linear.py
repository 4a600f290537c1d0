"""The closed-form codec: principal components of overlapping patches, of one frame and of four.

Orthonormal, so errors in latents are errors in pixels (up to each channel's scale); encoding and decoding are matrix
products, and every latent frame decodes by itself.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from worldmodel.errors import DataError
from worldmodel.worldgen.codec.base import DecodeState, check_frames
from worldmodel.worldgen.codec.overlap import filter_edges, overlap_filter
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE, LinearConfig

_SMALLEST_SCALE = 1e-4  # of a channel that never varies, in units where a pixel spans -1 to 1


@dataclass(frozen=True)
class Basis:
    """Principal components of patches of D values.

    Attributes:
        mean: [D].
        axes: [D, C], orthonormal, by falling variance; the largest entry of each is positive.
        scale: [C], by which latents are divided: see `LinearConfig.whitening`.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def encode(self, patches: Tensor) -> Tensor:
        """[..., D] to [..., C]."""
        return (patches - self.mean) @ (self.axes / self.scale)

    def decode(self, z: Tensor) -> Tensor:
        """[..., C] to [..., D]."""
        return z @ (self.axes * self.scale).T + self.mean

    def to(self, device: torch.device | str) -> "Basis":
        return Basis(self.mean.to(device), self.axes.to(device), self.scale.to(device))


class LinearCodec:
    """A fitted codec; see `LinearFit`."""

    kind: ClassVar[str] = "linear"

    def __init__(self, config: LinearConfig, first: Basis, group: Basis) -> None:
        self.config, self.first, self.group = config, first, group
        self._filter = overlap_filter(config.spatial_stride).to(first.mean.device)

    @property
    def latent_channels(self) -> int:
        return self.config.channels

    @property
    def spatial_stride(self) -> int:
        return self.config.spatial_stride

    def encode(self, frames: Tensor) -> Tensor:
        first, groups = patches(frames, self.spatial_stride, self._filter)
        return torch.cat([self.first.encode(first), self.group.encode(groups)], 1).permute(0, 1, 4, 2, 3).contiguous()

    def decode(self, z: Tensor) -> Tensor:
        return self.decode_chunk(z)[0]

    def decode_chunk(self, z: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        done = state.done if state is not None else 0
        cells = z.permute(0, 1, 3, 4, 2)
        alone = 1 if done == 0 else 0
        first = _unfold(self.first.decode(cells[:, :alone]), self.spatial_stride, 1)
        groups = _unfold(self.group.decode(cells[:, alone:]), self.spatial_stride, TEMPORAL_STRIDE)
        frames = filter_edges(torch.cat([first, groups], 1), self._filter.T)
        return ((frames + 1) / 2).clamp(0, 1), DecodeState(done + z.shape[1])

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.config, self.first.to(device), self.group.to(device))

    def architecture(self) -> LinearConfig:
        return self.config

    def tensors(self) -> dict[str, Tensor]:
        bases = {"first": self.first, "group": self.group}
        return {f"{name}.{part}": tensor for name, basis in bases.items() for part, tensor in vars(basis).items()}

    @classmethod
    def from_tensors(cls, architecture: str, tensors: dict[str, Tensor]) -> Self:
        """Raises KeyError or ValueError for tensors that are not those of `architecture`."""
        config = LinearConfig.model_validate_json(architecture)
        bases = []
        for name, frames in (("first", 1), ("group", TEMPORAL_STRIDE)):
            size, channels = 3 * frames * config.spatial_stride**2, config.channels
            basis = Basis(*(tensors[f"{name}.{part}"] for part in ("mean", "axes", "scale")))
            shapes = [list(tensor.shape) for tensor in vars(basis).values()]
            if shapes != [[size], [size, channels], [channels]]:
                raise ValueError(f"{name}: shapes {shapes} are not those of {channels} channels")
            bases.append(basis)
        return cls(config, *bases)


class LinearFit:
    """Fits a LinearCodec: moments of all patches, of one call in single and over the calls in double precision."""

    def __init__(self, config: LinearConfig) -> None:
        self.config = config
        size = 3 * config.spatial_stride**2
        self._filter = overlap_filter(config.spatial_stride)
        self._first, self._group = _Moments(size), _Moments(TEMPORAL_STRIDE * size)

    def add(self, frames: Tensor) -> None:
        """Takes frames [B, 1 + 4k, H, W, 3] in [0, 1] into account."""
        first, groups = patches(frames, self.config.spatial_stride, self._filter)
        self._first.add(first)
        self._group.add(groups)

    def finish(self) -> LinearCodec:
        """The codec. Raises DataError where nothing was added."""
        channels = self.config.channels
        bases = [moments.components(channels, self.config.whitening) for moments in (self._first, self._group)]
        return LinearCodec(self.config, *bases)

    def deviations(self, codec: LinearCodec) -> tuple[Tensor, Tensor]:
        """[C], standard deviations of the latents of what was added: of one frame, and of four frames."""
        return self._first.deviations(codec.first), self._group.deviations(codec.group)


class _Moments:
    def __init__(self, size: int) -> None:
        self.count = 0
        self.total = torch.zeros(size, dtype=torch.float64)
        self.products = torch.zeros(size, size, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        rows = values.reshape(-1, len(self.total))
        self.count += len(rows)
        self.total += rows.sum(0)
        self.products += rows.T @ rows

    def covariance(self) -> Tensor:
        mean = self.total / self.count
        return self.products / self.count - torch.outer(mean, mean)

    def deviations(self, basis: Basis) -> Tensor:
        axes = basis.axes.double()
        return (axes * (self.covariance() @ axes)).sum(0).clamp(min=0).sqrt() / basis.scale

    def components(self, channels: int, whitening: float) -> Basis:
        if self.count == 0:
            raise DataError("the tokenizer has nothing to be fitted on", expected="a sample of the train split")
        mean = self.total / self.count
        variances, axes = torch.linalg.eigh(self.covariance())
        axes, variances = axes.flip(1)[:, :channels], variances.flip(0)[:channels]
        largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        axes = torch.where(largest < 0, -axes, axes)
        deviations = variances.clamp(min=_SMALLEST_SCALE**2).sqrt()
        scale = deviations**whitening
        scale = scale * (deviations / scale).square().mean().sqrt()  # unit variance on average
        return Basis(mean.float(), axes.float().contiguous(), scale.float())


def patches(frames: Tensor, stride: int, edge_filter: Tensor) -> tuple[Tensor, Tensor]:
    """Overlapping patches in [-1, 1]-pixels: [B, 1, h, w, 3 s s] of frame 0 and [B, k, h, w, 4 * 3 s s] of the rest.

    Raises:
        DataError: the frames do not fit.
    """
    check_frames(frames, stride)
    filtered = filter_edges(frames * 2 - 1, edge_filter)
    return _fold(filtered[:, :1], stride, 1), _fold(filtered[:, 1:], stride, TEMPORAL_STRIDE)


def _fold(frames: Tensor, stride: int, together: int) -> Tensor:
    """[B, n * together, H, W, 3] to [B, n, h, w, together * s * s * 3]."""
    batch, n_frames, height, width, _ = frames.shape
    h, w = height // stride, width // stride
    cells = frames.reshape(batch, n_frames // together, together, h, stride, w, stride, 3)
    return cells.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, n_frames // together, h, w, together * 3 * stride**2)


def _unfold(cells: Tensor, stride: int, together: int) -> Tensor:
    """The inverse of `_fold`."""
    batch, n, h, w, _ = cells.shape
    parts = cells.reshape(batch, n, h, w, together, stride, stride, 3).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return parts.reshape(batch, n * together, h * stride, w * stride, 3)
