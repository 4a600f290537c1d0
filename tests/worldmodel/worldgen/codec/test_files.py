"""Tokenizers on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from worldmodel.errors import DataError
from worldmodel.worldgen.codec.base import Codec
from worldmodel.worldgen.codec.files import load_codec, save_codec
from worldmodel.worldgen.codec.linear import LinearFit
from worldmodel.worldgen.codec.wan import WanCodec, build_vae
from worldmodel.worldgen.tokenizer_config import LinearConfig, WanArchitecture

VIDEO = torch.rand(2, 5, 8, 8, 3, generator=torch.Generator().manual_seed(0))


def make(kind: str) -> Codec:
    if kind == "linear":
        fit = LinearFit(LinearConfig(channels=3, spatial_stride=4))
        fit.add(VIDEO)
        return fit.finish()
    torch.manual_seed(0)
    sizes = WanArchitecture(base_dim=4, z_dim=3, dim_mult=(1, 1, 1), num_res_blocks=1, temperal_downsample=(True, True))
    return WanCodec(sizes, build_vae(sizes), torch.tensor([[0.1] * 3, [0.2] * 3]), torch.full((2, 3), 2.0))


@pytest.mark.parametrize("kind", ["linear", "wan"])
def test_a_codec_comes_back_whole_and_twice_the_same_bytes(kind: str, tmp_path: Path) -> None:
    codec = make(kind)
    save_codec(codec, tmp_path / "a")
    save_codec(codec, tmp_path / "b")
    for name in ("tokenizer.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    loaded = load_codec(tmp_path / "a")
    assert loaded.kind == kind
    assert (loaded.latent_channels, loaded.spatial_stride) == (3, 4)
    z = codec.encode(VIDEO)
    assert torch.equal(loaded.encode(VIDEO), z)
    assert torch.equal(loaded.decode(z), codec.decode(z))
    with safe_open(tmp_path / "a" / "tokenizer.safetensors", "pt") as file:
        assert list(file.metadata()) == ["config"]
        assert json.loads(file.metadata()["config"])["codec"] == kind


@pytest.mark.parametrize("damage", ["missing", "cut", "unknown kind", "other sizes"])
def test_a_file_that_is_no_tokenizer_is_named(damage: str, tmp_path: Path) -> None:
    save_codec(make("linear"), tmp_path)
    path = tmp_path / "tokenizer.safetensors"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-10])
    elif damage == "unknown kind":
        path.write_bytes(data.replace(b"linear", b"lineal"))
    else:
        path.write_bytes(data.replace(b'\\"channels\\": 3', b'\\"channels\\": 4'))
    assert damage == "missing" or path.read_bytes() != data
    with pytest.raises(DataError, match=r"tokenizer.safetensors: no usable tokenizer"):
        load_codec(tmp_path)
