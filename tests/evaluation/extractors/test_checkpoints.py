import io
import os
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evaluation.extractors.checkpoints import UNREADABLE, Reader, read_arrays, read_torch, read_torchscript

KERNEL, BIAS = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(1, np.float32)
TENSORS = {"params.conv.kernel": torch.from_numpy(KERNEL), "bias": torch.from_numpy(BIAS)}


class Module:
    """What TorchScript keeps of a module: tensors, modules, and what only its code needs."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Harmful:
    """Makes a directory when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


def arrays(tree: object) -> bytes:
    """A pickle as numpy 1 wrote it."""
    return pickle.dumps(tree, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def legacy(tree: object) -> bytes:
    """A file as torch wrote it before 1.6."""
    file = io.BytesIO()
    torch.save(tree, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def archive(tree: object) -> bytes:
    """A zip with a pickle and the storages beside it, in which `Module` stands as TorchScript names its modules."""
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("__torch__", "__torch__.net"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setattr(sys.modules["__torch__.net"], "Module", Module, raising=False)
        patch.setattr(Module, "__module__", "__torch__.net")
        torch.save(tree, file)
    return file.getvalue()


def tree_of(make: Callable[[np.ndarray], object]) -> dict[str, object]:
    return {"params": {"conv": {"kernel": make(KERNEL)}}, "bias": make(BIAS)}


def modules() -> Module:
    """TENSORS, held by modules that also have attributes of other kinds."""
    conv = Module(kernel=torch.from_numpy(KERNEL), stride=2, training=False, hook=None, padding=[1, 1])
    return Module(params=Module(conv=conv), bias=torch.from_numpy(BIAS))


WRITTEN: dict[str, tuple[Reader, bytes]] = {
    "arrays": (read_arrays, arrays(tree_of(lambda array: array))),
    "legacy": (read_torch, legacy(tree_of(torch.from_numpy))),
    "archive": (read_torchscript, archive(modules())),
}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", WRITTEN)
def test_tensors_get_dotted_names(kind: str) -> None:
    read, content = WRITTEN[kind]
    assert same(read(content), TENSORS)


@pytest.mark.parametrize(("read", "write"), [(read_arrays, arrays), (read_torch, legacy), (read_torchscript, archive)])
def test_a_file_that_calls_anything_else_is_refused_before_it_does(
    read: Reader, write: Callable[[object], bytes], tmp_path: Path
) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.mkdir is not allowed"):
        read(write({"params": Harmful(tmp_path / "made")}))
    assert not (tmp_path / "made").exists()


def test_modules_are_taken_from_archives_alone_and_their_code_is_never_looked_for() -> None:
    assert "__torch__" not in sys.modules
    bare = pickle.dumps(1)[:2] + b"c__torch__.net\nModule\n."
    with pytest.raises(pickle.UnpicklingError, match=r"__torch__\.net\.Module is not allowed"):
        read_arrays(bare)


@pytest.mark.parametrize("leaf", [np.ones(2), np.array([None]), "text"], ids=["float64", "objects", "text"])
def test_among_arrays_anything_but_float32_is_refused(leaf: object) -> None:
    with pytest.raises(ValueError, match=r"params\.x is a"):
        read_arrays(arrays({"params": {"x": leaf}}))


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (torch.ones(2, dtype=torch.float64), "DoubleStorage is not allowed"),
        (torch.ones(2, dtype=torch.float16), "HalfStorage is not allowed"),
        (torch.ones(2, 3).T, "not laid out in order"),
        (torch.ones(1).expand(1000, 1000), "not laid out in order"),
        ("text", r"params\.x is a str"),
    ],
)
def test_among_tensors_anything_but_float32_in_order_is_refused(leaf: object, message: str) -> None:
    with pytest.raises((ValueError, pickle.UnpicklingError), match=message):
        read_torch(legacy({"params": {"x": leaf}}))


@pytest.mark.parametrize(("read", "write"), [(read_torch, legacy), (read_torchscript, archive)])
def test_a_view_is_read_from_its_place_in_a_shared_storage(read: Reader, write: Callable[[object], bytes]) -> None:
    numbers = torch.arange(10.0)
    found = read(write({"head": numbers[:4], "tail": numbers[4:].view(2, 3)}))
    assert same(found, {"head": torch.arange(4.0), "tail": torch.arange(4.0, 10.0).view(2, 3)})


@pytest.mark.parametrize("kind", WRITTEN)
@settings(deadline=None)
@given(data=st.data())
def test_a_file_cut_short_anywhere_is_refused(kind: str, data: st.DataObject) -> None:
    read, content = WRITTEN[kind]
    with pytest.raises(UNREADABLE):
        read(content[: data.draw(st.integers(0, len(content) - 1))])
