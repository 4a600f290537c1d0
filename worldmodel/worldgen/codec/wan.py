"""diffusers' AutoencoderKLWan (the causal video autoencoder of Wan 2.1 and 2.2) as a codec.

diffusers clears the decoder's feature cache when a decode begins and ends, so a stream calls the decoder itself, one
latent frame after another, with a cache that travels in `DecodeState`.
"""

from pathlib import Path
from typing import ClassVar, Self

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, WanCausalConv3d, unpatchify
from torch import Tensor, nn

from worldmodel.errors import DataError
from worldmodel.worldgen.codec.base import DecodeState, by_kind, check_frames
from worldmodel.worldgen.tokenizer_config import WanArchitecture

_PREFIX = "vae."


class WanCodec:
    """An autoencoder and the statistics of its latents.

    Args:
        architecture: of `vae`.
        vae: weights.
        mean, std: [2, C], of raw latents; row 0 of latent frame 0, row 1 of the others.
    """

    kind: ClassVar[str] = "wan"

    def __init__(self, architecture: WanArchitecture, vae: AutoencoderKLWan, mean: Tensor, std: Tensor) -> None:
        self.config, self.vae = architecture, vae.eval().requires_grad_(False)
        self.mean, self.std = mean, std
        self._patch_size = architecture.patch_size or 1
        self._n_features = sum(isinstance(module, WanCausalConv3d) for module in vae.decoder.modules())

    @property
    def latent_channels(self) -> int:
        return self.config.z_dim

    @property
    def spatial_stride(self) -> int:
        return self.config.spatial_stride

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        raw = encode_raw(self.vae, frames, self.spatial_stride)
        return ((raw - by_kind(self.mean, 0, raw.shape[1])) / by_kind(self.std, 0, raw.shape[1])).contiguous()

    def decode(self, z: Tensor) -> Tensor:
        return self.decode_chunk(z)[0]

    @torch.no_grad()
    def decode_chunk(self, z: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        done = state.done if state is not None else 0
        features = list(state.features) if state is not None else [None] * self._n_features
        raw = z * by_kind(self.std, done, z.shape[1]) + by_kind(self.mean, done, z.shape[1])
        hidden = self.vae.post_quant_conv(raw.transpose(1, 2))
        parts = []
        for f in range(z.shape[1]):
            latent = hidden[:, :, f : f + 1]
            parts.append(
                self.vae.decoder(latent, feat_cache=features, feat_idx=[0], first_chunk=done + f == 0)
            )  # replaces entries of `features`
        video: Tensor = unpatchify(torch.cat(parts, 2), self._patch_size)  # type: ignore[no-untyped-call]
        frames = ((video + 1) / 2).clamp(0, 1).permute(0, 2, 3, 4, 1).contiguous()
        return frames, DecodeState(done + z.shape[1], tuple(features))

    def to(self, device: torch.device | str) -> Self:
        nn.Module.to(self.vae, device)
        return type(self)(self.config, self.vae, self.mean.to(device), self.std.to(device))

    def architecture(self) -> WanArchitecture:
        return self.config

    def tensors(self) -> dict[str, Tensor]:
        weights = {_PREFIX + name: tensor for name, tensor in self.vae.state_dict().items()}
        return {**weights, "latents.mean": self.mean, "latents.std": self.std}

    @classmethod
    def from_tensors(cls, architecture: str, tensors: dict[str, Tensor]) -> Self:
        """Raises KeyError, RuntimeError or ValueError for tensors that are not those of `architecture`."""
        config = WanArchitecture.model_validate_json(architecture)
        vae = build_vae(config)
        names = [name for name in tensors if name.startswith(_PREFIX)]
        vae.load_state_dict({name.removeprefix(_PREFIX): tensors[name] for name in names})
        mean, std = tensors["latents.mean"], tensors["latents.std"]
        if mean.shape != (2, config.z_dim) or std.shape != mean.shape:
            raise ValueError(f"latents.mean and .std are not [2, {config.z_dim}]")
        return cls(config, vae, mean, std)


def build_vae(config: WanArchitecture) -> AutoencoderKLWan:
    """The autoencoder with fresh weights."""
    folded = 3 * (config.patch_size or 1) ** 2
    sizes = {name: list(value) if isinstance(value, tuple) else value for name, value in config}
    vae: AutoencoderKLWan = AutoencoderKLWan(
        **sizes, in_channels=folded, out_channels=folded, scale_factor_spatial=config.spatial_stride
    )
    return vae


def encode_raw(vae: AutoencoderKLWan, frames: Tensor, stride: int) -> Tensor:
    """Latents [B, F, C, h, w] before normalisation, the posterior's mode. Raises DataError if frames do not fit."""
    check_frames(frames, stride)
    video = (frames * 2 - 1).permute(0, 4, 1, 2, 3)
    mode: Tensor = vae.encode(video).latent_dist.mode()
    return mode.transpose(1, 2)


def load_pretrained(path: Path) -> WanCodec:
    """A published autoencoder from a local directory (config.json and safetensors, or its subfolder `vae`).

    Raises:
        DataError: there is no such autoencoder, or its strides are not 4 in time and a power of two in space.
    """
    folder = path / "vae" if (path / "vae").is_dir() else path
    try:
        vae = AutoencoderKLWan.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
        )
        fields = {name: vae.config[name] for name in WanArchitecture.model_fields}
        architecture = WanArchitecture.model_validate(fields)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{folder}: no usable AutoencoderKLWan",
            expected="config.json and diffusion_pytorch_model.safetensors, as diffusers writes them",
            got=str(error),
            fix="set train_tokenizer.wan.pretrained to such a directory, or to null to train one",
        ) from error
    mean, std = (torch.tensor(vae.config[name]).repeat(2, 1) for name in ("latents_mean", "latents_std"))
    return WanCodec(architecture, vae, mean, std)
