"""The learned codec at a minimal size: streaming, statistics, pretrained weights, training."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from worldmodel.errors import DataError
from worldmodel.worldgen.codec.wan import WanCodec, build_vae, load_pretrained
from worldmodel.worldgen.codec.wan_training import normalised
from worldmodel.worldgen.tokenizer_config import WanArchitecture

TINY = WanArchitecture(base_dim=4, z_dim=3, dim_mult=(1, 1, 1), num_res_blocks=1, temperal_downsample=(True, True))
FOLDED = TINY.model_copy(update={"is_residual": True, "patch_size": 2})


def video(seed: int = 0, frames: int = 9) -> Tensor:
    return torch.rand(2, frames, 8, 16, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def codec(request: pytest.FixtureRequest) -> WanCodec:
    architecture = getattr(request, "param", TINY)
    torch.manual_seed(0)
    return normalised(architecture, build_vae(architecture), [video(1), video(2, frames=5)])


@pytest.mark.parametrize("codec", [TINY, FOLDED], indirect=True)
def test_a_stream_decodes_to_what_diffusers_decodes_of_the_whole(codec: WanCodec) -> None:
    z = codec.encode(video())
    stride = codec.spatial_stride
    assert z.shape == (2, 3, 3, 8 // stride, 16 // stride)
    state, parts = None, []
    for chunk in z.split((1, 1, 1), 1):
        before = state
        frames, state = codec.decode_chunk(chunk, state)
        if before is not None:
            again, _ = codec.decode_chunk(chunk, before)
            assert torch.equal(again, frames), "a state was changed by decoding from it"
        parts.append(frames)
    assert [part.shape[1] for part in parts] == [1, 4, 4]
    streamed = torch.cat(parts, 1)
    raw = torch.cat([z[:, :1] * codec.std[0, :, None, None] + codec.mean[0, :, None, None],
                     z[:, 1:] * codec.std[1, :, None, None] + codec.mean[1, :, None, None]], 1)  # fmt: skip
    whole = codec.vae.decode(raw.transpose(1, 2)).sample.permute(0, 2, 3, 4, 1) / 2 + 0.5
    assert torch.allclose(streamed, whole, atol=1e-5)
    assert torch.allclose(codec.decode(z), whole, atol=1e-5)
    assert float(streamed.std()) > 1e-3


def test_latents_are_normalised_for_each_kind_and_see_no_later_frame(codec: WanCodec) -> None:
    videos = [video(1), video(2, frames=5)]
    z = [codec.encode(frames) for frames in videos]
    for part in (slice(0, 1), slice(1, None)):
        values = torch.cat([latents[:, part].movedim(2, 0).flatten(1) for latents in z], 1)
        assert values.mean(1).abs().max() < 1e-3
        assert (values.std(1, correction=0) - 1).abs().max() < 1e-3
    changed = videos[0].clone()
    changed[:, 5:] = 0.5
    assert torch.allclose(codec.encode(changed)[:, :2], z[0][:, :2], atol=1e-5)


def test_a_pretrained_autoencoder_is_loaded_from_its_directory_with_its_own_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = build_vae(TINY)
    vae.register_to_config(latents_mean=[0.1, 0.2, 0.3], latents_std=[1.0, 2.0, 4.0])
    vae.save_pretrained(tmp_path / "vae")
    codec = load_pretrained(tmp_path)
    assert codec.architecture() == TINY
    assert codec.mean.tolist() == [pytest.approx([0.1, 0.2, 0.3])] * 2
    mode = vae.eval().encode(video().permute(0, 4, 1, 2, 3) * 2 - 1).latent_dist.mode().transpose(1, 2)
    expected = (mode - codec.mean[0, :, None, None]) / torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    assert torch.allclose(codec.encode(video()), expected, atol=1e-5)


def test_a_directory_without_an_autoencoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable AutoencoderKLWan(.|\n)*wan.pretrained"):
        load_pretrained(tmp_path / "nowhere")


def test_the_published_size_has_the_published_shapes() -> None:
    with torch.device("meta"):
        vae = build_vae(WanArchitecture())
        z = vae.encode(torch.empty(1, 3, 5, 64, 96)).latent_dist.mode()
        decoded = vae.decode(z).sample
    assert z.shape == (1, 16, 2, 8, 12)
    assert decoded.shape == (1, 3, 5, 64, 96)
    assert sum(parameter.numel() for parameter in vae.parameters()) == 126_892_531
