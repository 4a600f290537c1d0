"""One sample through the tokenizer: its frames, its rendered prior, and what else steers the generator."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.data.layout import layout_of
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError
from worldmodel.worldgen.codec.base import Codec
from worldmodel.worldgen.ego_motion import ego_motion
from worldmodel.worldgen.priors import PriorStore
from worldmodel.worldgen.samples import SampleRow
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE


@dataclass(frozen=True)
class Encoded:
    """A sample as it is stored.

    Attributes:
        row: knows now whether it has a prior and poses.
        tensors: z and prior [F, C, h, w], prior_alpha [F, h, w], ego [F, 6], layout uint8 [F, 4, H, W, 3].
        psnr: of its frames through the tokenizer, dB.
    """

    row: SampleRow
    tensors: dict[str, Tensor]
    psnr: float


def to_frames(clip: Clip, camera: str, frames: Sequence[int] | None = None) -> Tensor:
    """[1, T, H, W, 3] in [0, 1] of one camera; `frames` are indices into this clip, None = all."""
    rgb = clip.rgb[:, clip.cameras.index(camera)]
    return torch.from_numpy(rgb if frames is None else rgb[list(frames)]).float()[None] / 255


def layouts(clip: Clip, rows: Sequence[SampleRow]) -> dict[tuple[str, int], Tensor]:
    """The layout pictures [H, W, 3] that samples of a clip need, by camera and frame: each drawn once.

    Raises:
        DataError: there is nothing to take or draw them from.
    """
    pictures: dict[tuple[str, int], Tensor] = {}
    for camera in sorted({row.camera for row in rows}):
        frames = sorted({t for row in rows if row.camera == camera for t in row.frame_indices})
        drawn = layout_of(clip, clip.cameras.index(camera), frames)
        if drawn is None:
            raise DataError(
                f"clip {clip.clip_id} has no layout, and the manifest says that it has",
                expected="a layout video, or camera poses and boxes or lanes",
                fix="run the prepare stage again",
            )
        pictures |= {(camera, t): torch.from_numpy(picture) for t, picture in zip(frames, drawn, strict=True)}
    return pictures


@torch.no_grad()
def encode_samples(
    codec: Codec, clip: Clip, rows: Sequence[SampleRow], priors: PriorStore, device: str
) -> list[Encoded]:
    """The samples `rows` of a whole clip, in their order.

    Raises:
        DataError: the clip has no layout, or a rendered prior is unusable.
    """
    pictures = layouts(clip, rows)
    encoded = []
    for row in rows:
        frames = to_frames(clip, row.camera, row.frame_indices).to(device)
        z = codec.encode(frames)
        prior = _prior(codec, row, frames, priors)
        poses = clip.world_from_ego[list(row.frame_indices)] if clip.world_from_ego is not None else None
        tensors = {
            "z": z[0],
            "prior": prior[0] if prior else torch.zeros_like(z[0]),
            "prior_alpha": prior[1] if prior else torch.zeros_like(z[0, :, 0]),
            "ego": torch.from_numpy(ego_motion(poses, clip.times_s[list(row.frame_indices)])),
            "layout": by_latent_frame(torch.stack([pictures[row.camera, t] for t in row.frame_indices])),
        }
        on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        known = replace(row, has_prior=prior is not None, has_ego=poses is not None)
        encoded.append(Encoded(known, on_cpu, _psnr(codec.decode(z), frames)))
    return encoded


def _psnr(decoded: Tensor, frames: Tensor) -> float:
    mse = float(((decoded - frames) ** 2).mean())
    return -10 * math.log10(max(mse, 1e-10))


def by_latent_frame(pictures: Tensor) -> Tensor:
    """[1 + 4k, ...] to [1 + k, 4, ...]: the four of each latent frame, and the first one four times over."""
    first = pictures[:1].expand(TEMPORAL_STRIDE, *pictures.shape[1:])
    return torch.cat([first, pictures[1:]]).reshape(-1, TEMPORAL_STRIDE, *pictures.shape[1:])


def latent_alpha(alpha: Tensor, stride: int) -> Tensor:
    """How much of each latent cell a prior shows, [1 + k, h, w] in 0..1, from uint8 [1 + 4k, H, W].

    The mean over a cell's pixels, then the least over its four frames. The first frame is given anyway: 0 there.
    """
    cells = F.avg_pool2d(alpha.float()[:, None] / 255, stride)[:, 0]
    least = by_latent_frame(cells).amin(1)
    return torch.cat([torch.zeros_like(least[:1]), least[1:]])


def _prior(codec: Codec, row: SampleRow, frames: Tensor, priors: PriorStore) -> tuple[Tensor, Tensor] | None:
    """Latents and alpha [F, h, w] of the rendered prior, which starts with the true first frame, as in use."""
    rendered = priors.load(row.clip_id, row.camera, row.frame_indices)
    if rendered is None:
        return None
    rgb, alpha = (part.to(frames.device) for part in rendered)
    if rgb.shape != frames.shape[1:]:
        raise DataError(
            f"clip {row.clip_id}: its rendered prior is of another shape",
            expected=str(list(frames.shape[1:])),
            got=str(list(rgb.shape)),
            fix="run the render_priors stage again",
        )
    return encode_prior(codec, frames[:, :1], rgb[None], alpha)


def encode_prior(codec: Codec, first: Tensor, rgb: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Latents [F, C, h, w] and alpha [F, h, w] of a rendered prior, which starts with the true first frame.

    Args:
        codec: the tokenizer.
        first: [1, 1, H, W, 3] in [0, 1].
        rgb: uint8 [1, T, H, W, 3]; its frame 0 is not used.
        alpha: uint8 [T, H, W].
    """
    video = torch.cat([first, rgb[:, 1:].float() / 255], 1)
    return codec.encode(video)[0], latent_alpha(alpha, codec.spatial_stride)
