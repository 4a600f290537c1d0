import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from evaluation.extractors import conversion
from evaluation.extractors.checkpoints import read_arrays
from evaluation.extractors.conversion import Recipe, convert, read_weights
from evaluation.extractors.probe import Probe
from evaluation.extractors.weights import (
    WEIGHTS,
    WeightSource,
    is_installed,
    load_tensors,
    tensor_fingerprint,
    weight_files,
)
from worldmodel.errors import DataError, MissingDependencyError

TREE = {"params": {"conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}, "bias": np.ones(1, np.float32)}
TENSORS = {"params.conv.kernel": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(1)}
CONTENT = pickle.dumps(TREE, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
PROBE = Probe((0.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0)
TINY = WeightSource(
    "tiny", "tiny==1", "weights.ckpt", hashlib.sha256(CONTENT).hexdigest(), tensor_fingerprint(TENSORS), "MIT"
)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of TINY."""
    monkeypatch.setitem(conversion.RECIPES, "tiny", Recipe(read_arrays, lambda tensors: PROBE))
    (tmp_path / "weights.ckpt").write_bytes(CONTENT)
    return tmp_path / "weights.ckpt"


def test_a_conversion_leaves_tensors_and_their_record(checkpoint: Path, tmp_path: Path) -> None:
    assert convert(TINY, checkpoint, tmp_path / "weights") == PROBE
    found = load_tensors(TINY, tmp_path / "weights")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    known = json.loads(weight_files(TINY, tmp_path / "weights")[1].read_text())
    assert (known["id"], known["package"], known["licence"]) == ("tiny", "tiny==1", "MIT")
    assert (known["sha256"], known["tensor_fingerprint"]) == (TINY.sha256, TINY.tensor_fingerprint)
    assert is_installed(TINY, tmp_path / "weights")


def test_a_converted_file_serves_as_the_source_does_to_the_byte(checkpoint: Path, tmp_path: Path) -> None:
    convert(TINY, checkpoint, tmp_path / "one")
    save_file(TENSORS, tmp_path / "other.safetensors", {"written": "by another program"})
    convert(TINY, tmp_path / "other.safetensors", tmp_path / "two")
    for one, two in zip(weight_files(TINY, tmp_path / "one"), weight_files(TINY, tmp_path / "two"), strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_a_file_with_another_sha256_is_never_read(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Recipe(lambda content: pytest.fail("read"), lambda tensors: PROBE)
    monkeypatch.setitem(conversion.RECIPES, "tiny", read)
    checkpoint.write_bytes(CONTENT[:-1] + b",")
    with pytest.raises(DataError, match="not the recorded file of tiny") as caught:
        read_weights(TINY, checkpoint)
    assert TINY.sha256 in caught.value.expected


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.ckpt cannot be read") as caught:
        read_weights(TINY, tmp_path / "nothing.ckpt")
    assert "fetch-weights" in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"not tensors at all", save(TENSORS)[:-1]])
def test_a_damaged_converted_file_is_refused(checkpoint: Path, content: bytes) -> None:
    path = checkpoint.with_suffix(".safetensors")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"weights\.safetensors is not a file of float32 tensors alone"):
        read_weights(TINY, path)


def test_a_checkpoint_of_something_else_is_refused(checkpoint: Path) -> None:
    checkpoint.write_bytes(content := pickle.dumps({"params": "text"}))
    other = WeightSource("tiny", "tiny==1", "weights.ckpt", hashlib.sha256(content).hexdigest(), "", "MIT")
    with pytest.raises(DataError, match=r"weights\.ckpt is not a file of float32 tensors alone") as caught:
        read_weights(other, checkpoint)
    assert "params is a str" in caught.value.got


def test_other_tensors_are_refused_and_leave_nothing(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({**TENSORS, "bias": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="does not hold the tensors of tiny"):
        convert(TINY, path, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_a_network_that_fails_its_probe_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tensors: Mapping[str, Tensor]) -> Probe:
        raise DataError("the network does not say of the probe clip what it should")

    monkeypatch.setitem(conversion.RECIPES, "tiny", Recipe(read_arrays, fails))
    with pytest.raises(DataError, match="probe clip"):
        convert(TINY, checkpoint, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_a_network_upon_another_is_probed_with_both(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []

    def probe(tensors: Mapping[str, Tensor]) -> Probe:
        seen.append(set(tensors))
        return PROBE

    head = {"head": torch.zeros(2)}
    save_file(head, tmp_path / "head.safetensors")
    upper = WeightSource("upper", "tiny==1", "head.ckpt", "0" * 64, tensor_fingerprint(head), "MIT")
    monkeypatch.setitem(conversion.RECIPES, "upper", Recipe(read_arrays, probe, base=TINY))
    with pytest.raises(MissingDependencyError, match="weights of tiny are not in"):
        convert(upper, tmp_path / "head.safetensors", tmp_path / "weights")
    convert(TINY, checkpoint, tmp_path / "weights")
    convert(upper, tmp_path / "head.safetensors", tmp_path / "weights")
    assert seen == [{"head", *TENSORS}]
    assert load_tensors(upper, tmp_path / "weights").keys() == head.keys()


def test_every_source_has_a_recipe_and_comes_after_the_one_below_it() -> None:
    assert list(conversion.RECIPES) == list(WEIGHTS)
    places = list(WEIGHTS)
    below = {name: recipe.base.id for name, recipe in conversion.RECIPES.items() if recipe.base}
    assert below and all(places.index(base) < places.index(name) for name, base in below.items())
