"""Weights on disk: the same bytes, the same answers, and published weights that fit or are refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import load_file, save_file

from tests.worldmodel.worldgen.toy_denoiser import LATENTS, toy_clips, toy_config, toy_denoiser
from worldmodel.errors import DataError
from worldmodel.worldgen.weights import load_denoiser, new_denoiser, save_denoiser


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, WanTransformer3DModel]:
    """Two shards of a small text-to-video network."""
    torch.manual_seed(1)
    config = toy_config()
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        in_channels=LATENTS.channels,
        out_channels=LATENTS.channels,
        text_dim=config.text_width,
        freq_dim=config.frequencies,
        ffn_dim=config.ffn,
        num_layers=config.layers,
    )
    tensors = list(model.state_dict().items())
    for shard, part in enumerate((tensors[::2], tensors[1::2])):
        save_file(dict(part), tmp_path / f"diffusion_pytorch_model-{shard}.safetensors")
    return tmp_path, model


@torch.no_grad()
def test_a_saved_denoiser_comes_back_bit_by_bit(tmp_path: Path) -> None:
    model = toy_denoiser(chunk=2, prediction="x0")
    save_denoiser(model, tmp_path, "generator.safetensors")
    loaded = load_denoiser(tmp_path, "generator.safetensors")
    assert loaded.config == model.config
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    x, given = toy_clips(3)
    sigma = torch.full((2, 3), 0.5)
    assert torch.equal(loaded(x, sigma, given, "causal"), model(x, sigma, given, "causal"))


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        save_denoiser(toy_denoiser(), tmp_path, name)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_unusable_weights_are_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors: no usable denoiser weights"):
        load_denoiser(tmp_path)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"config": '{"queries": 3}'})
    with pytest.raises(DataError, match="no usable denoiser weights"):
        load_denoiser(tmp_path)


@torch.no_grad()
def test_a_denoiser_starts_as_the_published_network(published: tuple[Path, WanTransformer3DModel]) -> None:
    directory, wan = published
    model = new_denoiser(toy_config().model_copy(update={"pretrained": directory}), LATENTS)
    x, given = toy_clips(3)
    _, other = toy_clips(3, seed=1)
    blind = replace(other, tags=given.tags)
    expected = wan(x.transpose(1, 2), torch.full((2,), 400.0), model.tags(given)).sample.transpose(1, 2)
    for conditions in (given, blind):
        said = model(x, torch.full((2, 3), 0.4), conditions, "full")
        torch.testing.assert_close(said, expected, rtol=1e-3, atol=1e-4)


def test_one_file_of_published_weights_will_do(tmp_path: Path, published: tuple[Path, WanTransformer3DModel]) -> None:
    directory, wan = published
    file = tmp_path / "whole"
    save_file(
        {name: tensor for part in directory.glob("*.safetensors") for name, tensor in load_file(part).items()}, file
    )
    model = new_denoiser(toy_config().model_copy(update={"pretrained": file}), LATENTS)
    assert torch.equal(model.transformer.proj_out.weight, wan.proj_out.weight)


def test_published_weights_of_another_size_are_refused(published: tuple[Path, WanTransformer3DModel]) -> None:
    directory, _ = published
    config = toy_config().model_copy(update={"pretrained": directory, "ffn": 40})
    with pytest.raises(DataError, match=r"blocks\.0\.ffn.*\n.*expected: \(40,\)\n.*got: \(32,\)"):
        new_denoiser(config, LATENTS)


def test_a_directory_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \*\.safetensors here"):
        new_denoiser(toy_config().model_copy(update={"pretrained": tmp_path}), LATENTS)
