import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evaluation.extractors.weights import (
    I3D_K400,
    WEIGHTS,
    WeightSource,
    find_weights,
    is_installed,
    load_tensors,
    record_of,
    tensor_fingerprint,
    weight_files,
    weights_directory,
)
from worldmodel.errors import DataError, MissingDependencyError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}
TINY = WeightSource("tiny", "tiny==1", "tiny/weights.ckpt", "0" * 64, tensor_fingerprint(TENSORS), "MIT")


def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"i3d-k400 are not in .*") as caught:
        find_weights(I3D_K400, tmp_path)
    assert caught.value.fix == "worldmodel metrics fetch-weights"


def test_the_directory_is_the_named_one_or_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDMODEL_METRICS_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights_directory() == tmp_path / "cache" / "worldmodel" / "metrics"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_directory() == tmp_path / ".cache" / "worldmodel" / "metrics"
    monkeypatch.setenv("WORLDMODEL_METRICS_WEIGHTS", str(tmp_path / "named"))
    assert weights_directory() == tmp_path / "named"


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    path, _ = weight_files(TINY, tmp_path)
    save_file(TENSORS, path)
    assert load_tensors(TINY, tmp_path).keys() == {"a", "b"}
    save_file({**TENSORS, "b": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"tiny\.safetensors does not hold the tensors of tiny"):
        load_tensors(TINY, tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path, _ = weight_files(TINY, tmp_path)
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cannot be read"):
        load_tensors(TINY, tmp_path)


def test_the_fingerprint_sees_names_shapes_types_and_values_but_no_order() -> None:
    same = tensor_fingerprint({"b": TENSORS["b"], "a": TENSORS["a"]})
    others = [
        {"a": TENSORS["a"], "c": TENSORS["b"]},
        {"a": TENSORS["a"].reshape(3, 2), "b": TENSORS["b"]},
        {"a": TENSORS["a"].to(torch.int32).view(torch.float32), "b": TENSORS["b"]},
        {"a": TENSORS["a"].int(), "b": TENSORS["b"]},
    ]
    assert same == TINY.tensor_fingerprint
    assert len({same, *map(tensor_fingerprint, others)}) == 5


def test_weights_count_as_installed_while_file_and_record_agree(tmp_path: Path) -> None:
    path, record = weight_files(TINY, tmp_path)
    assert not is_installed(TINY, tmp_path)
    save_file(TENSORS, path)
    good = record_of(TINY, hashlib.sha256(path.read_bytes()).hexdigest())
    for content in ("", "[]", json.dumps({**good, "package": "tiny==2"})):
        record.write_text(content)
        assert not is_installed(TINY, tmp_path)
    record.write_text(json.dumps(good))
    assert is_installed(TINY, tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert not is_installed(TINY, tmp_path)


@pytest.mark.parametrize("source", WEIGHTS.values(), ids=list(WEIGHTS))
def test_the_fetched_weights_are_the_recorded_ones(source: WeightSource) -> None:
    find_weights(source)
    assert is_installed(source, weights_directory())
    assert all(tensor.dtype == torch.float32 for tensor in load_tensors(source).values())
