import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evaluation.extractors import conversion
from evaluation.extractors.conversion import convert, read_checkpoint
from evaluation.extractors.probe import Probe
from evaluation.extractors.weights import WeightSource, is_installed, tensor_fingerprint, weight_files
from worldmodel.errors import DataError

TREE = {"params": {"conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}, "bias": np.ones(1, np.float32)}
TENSORS = {"params.conv.kernel": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(1)}
PROBE = Probe((0.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0)


def write_checkpoint(path: Path, tree: object) -> str:
    """A pickle as numpy 1 wrote it; its sha256."""
    content = pickle.dumps(tree, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def tiny(sha256: str) -> WeightSource:
    return WeightSource("tiny", "tiny==1", "tiny/weights.ckpt", sha256, tensor_fingerprint(TENSORS), "MIT")


def test_nested_arrays_become_tensors_with_dotted_names(tmp_path: Path) -> None:
    sha256 = write_checkpoint(tmp_path / "a.ckpt", TREE)
    found = read_checkpoint(tmp_path / "a.ckpt", sha256)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


class Harmful:
    """Makes a directory when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


def test_a_pickle_that_calls_anything_else_is_refused_before_it_does(tmp_path: Path) -> None:
    sha256 = write_checkpoint(tmp_path / "a.ckpt", {"params": Harmful(tmp_path / "made")})
    with pytest.raises(DataError, match=r"posix\.mkdir is not allowed"):
        read_checkpoint(tmp_path / "a.ckpt", sha256)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("leaf", [np.ones(2), np.array([None]), "text"], ids=["float64", "objects", "text"])
def test_anything_but_float32_arrays_is_refused(tmp_path: Path, leaf: object) -> None:
    sha256 = write_checkpoint(tmp_path / "a.ckpt", {"params": {"x": leaf}})
    with pytest.raises(DataError, match="not a checkpoint of arrays alone") as caught:
        read_checkpoint(tmp_path / "a.ckpt", sha256)
    assert "params.x" in caught.value.got


def test_a_file_with_another_sha256_is_never_unpickled(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.ckpt", Harmful(tmp_path / "made"))
    with pytest.raises(DataError, match="not the recorded file") as caught:
        read_checkpoint(tmp_path / "a.ckpt", "0" * 64)
    assert caught.value.expected == "sha256 " + "0" * 64
    assert not (tmp_path / "made").exists()


def test_a_conversion_leaves_tensors_and_their_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny(write_checkpoint(tmp_path / "packages/tiny/weights.ckpt", TREE))
    monkeypatch.setitem(conversion.PROBES, "tiny", lambda tensors: PROBE)
    assert convert(source, tmp_path / "packages", tmp_path / "weights") == PROBE
    tensors, record = weight_files(source, tmp_path / "weights")
    assert torch.equal(load_file(tensors)["params.conv.kernel"], TENSORS["params.conv.kernel"])
    known = json.loads(record.read_text())
    assert (known["id"], known["package"], known["licence"]) == ("tiny", "tiny==1", "MIT")
    assert (known["sha256"], known["tensor_fingerprint"]) == (source.sha256, source.tensor_fingerprint)
    assert is_installed(source, tmp_path / "weights")


def test_a_network_that_fails_its_probe_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(tensors: object) -> Probe:
        raise DataError("the network does not say of the probe clip what it should")

    source = tiny(write_checkpoint(tmp_path / "packages/tiny/weights.ckpt", TREE))
    monkeypatch.setitem(conversion.PROBES, "tiny", fails)
    with pytest.raises(DataError, match="probe clip"):
        convert(source, tmp_path / "packages", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_other_tensors_in_a_file_of_the_right_sha256_are_refused(tmp_path: Path) -> None:
    sha256 = write_checkpoint(tmp_path / "packages/tiny/weights.ckpt", {"bias": TREE["bias"]})
    with pytest.raises(DataError, match="does not hold the tensors of tiny"):
        convert(tiny(sha256), tmp_path / "packages", tmp_path / "weights")
