"""Latent frames of layouts and of rendered priors, by hand."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worldmodel.errors import DataError
from worldmodel.worldgen.encoding import by_latent_frame, latent_alpha
from worldmodel.worldgen.priors import PriorStore


def test_the_first_picture_stands_for_all_four_of_its_latent_frame() -> None:
    pictures = torch.arange(9)[:, None, None, None].expand(9, 2, 2, 3)
    together = by_latent_frame(pictures)
    assert together.shape == (3, 4, 2, 2, 3)
    assert together[:, :, 0, 0, 0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_alpha_is_the_mean_of_a_cell_and_the_least_of_its_frames() -> None:
    alpha = torch.full((5, 2, 4), 255, dtype=torch.uint8)
    alpha[2, 0, 0] = 0  # a quarter of the left cell, in one of the four frames
    alpha[4, :, 2:] = 51  # a fifth everywhere in the right cell
    assert latent_alpha(alpha, 2).tolist() == [[[0, 0]], [[0.75, pytest.approx(0.2)]]]


def write_priors(directory: Path) -> None:
    (directory / "priors").mkdir()
    rgb = torch.arange(3 * 2, dtype=torch.uint8).reshape(3, 2, 1, 1, 1).expand(3, 2, 4, 4, 3).contiguous()
    save_file({"rgb": rgb, "alpha": rgb[..., 0].contiguous()}, directory / "priors" / "a.safetensors")
    entry = {"clip_id": "a", "cameras": ["left", "front"]}
    (directory / "index.json").write_text(json.dumps({"schema_version": 1, "clips": [entry]}))


def test_a_prior_is_read_by_camera_and_frame_and_is_none_where_nothing_was_rendered(tmp_path: Path) -> None:
    write_priors(tmp_path)
    store = PriorStore(tmp_path)
    found = store.load("a", "front", [0, 2])
    assert found is not None
    assert found[0].shape == (2, 4, 4, 3) and found[0][:, 0, 0, 0].tolist() == [1, 5]
    assert found[1].shape == (2, 4, 4) and found[1][:, 0, 0].tolist() == [1, 5]
    assert store.load("a", "rear", [0]) is None
    assert store.load("b", "front", [0]) is None
    assert store.load("a", "front", [1, 3]) is None


def test_priors_that_were_not_applicable_are_no_error_and_damaged_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index.json: no usable index of rendered priors"):
        PriorStore(tmp_path)
    write_priors(tmp_path)
    (tmp_path / "priors" / "a.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"a.safetensors: no usable prior of camera left"):
        PriorStore(tmp_path).load("a", "left", [0])
    (tmp_path / "index.json").write_text(json.dumps({"schema_version": 2, "clips": []}))
    with pytest.raises(DataError, match="schema_version"):
        PriorStore(tmp_path)
    (tmp_path / "not_applicable.json").write_text("{}")
    assert PriorStore(tmp_path).cameras == {}
