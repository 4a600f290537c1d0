"""Readers of other projects' weight files that can build nothing but tensors, whatever a file asks for.

The formats are pickles at heart, and a pickle may call any function by name. Here the names are an allow-list: arrays,
tensors, and in TorchScript modules, which become bags of attributes. No code of a file is run; `torch.load` and
`torch.jit.load` have no part in it. Tensors keep the source's names (joined by dots), layout and type, float32.

What is damaged or holds anything else raises `UNREADABLE`, for `evaluation.extractors.conversion` to name the file.
"""

import io
import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

Reader = Callable[[bytes], dict[str, Tensor]]
UNREADABLE = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, LookupError,
    AttributeError, OverflowError, MemoryError, RuntimeError,
)  # fmt: skip

_FLOAT = np.dtype("<f4")
_COUNT = np.dtype("<i8")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class _Storage:
    """The numbers of a tensor, by their name in the file."""

    key: str
    size: int


@dataclass(frozen=True)
class _Stored:
    """A tensor whose numbers are not read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]


class _Module:
    """What is left of a TorchScript module: its attributes."""


def _stored(storage: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Stored:
    """In place of `torch._utils._rebuild_tensor_v2`."""
    contiguous = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if not isinstance(storage, _Storage) or strides != contiguous or offset < 0:
        raise ValueError(f"a tensor of shape {shape} is not laid out in order")
    return _Stored(storage, offset, shape)


_ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # its place before numpy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
_TENSORS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _stored,
    ("torch", "FloatStorage"): "float32",
    ("collections", "OrderedDict"): OrderedDict,
    ("torch.jit._pickle", "build_intlist"): list,
}


class _Unpickler(pickle.Unpickler):
    """Builds what `allowed` names; with `modules`, also TorchScript's modules without their code."""

    def __init__(self, file: BinaryIO, allowed: Mapping[tuple[str, str], Any], modules: bool = False) -> None:
        super().__init__(file)
        self._allowed, self._modules = allowed, modules

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuses every global that the format does not need."""
        if self._modules and module_name.startswith("__torch__."):
            return _Module
        try:
            return self._allowed[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Takes ("storage", type, key, device, size, ...)."""
        kind, dtype, key, _, size, *_ = pid
        if (kind, dtype) != ("storage", "float32"):
            raise pickle.UnpicklingError(f"a {kind} of {dtype} is not allowed")
        return _Storage(str(key), int(size))


def read_arrays(content: bytes) -> dict[str, Tensor]:
    """Reads a pickle of nested dicts of numpy arrays."""
    tree = _Unpickler(io.BytesIO(content), _ARRAYS).load()
    return {name: _tensor(name, leaf) for name, leaf in _leaves(tree)}


def read_torchscript(content: bytes) -> dict[str, Tensor]:
    """Reads the parameters and buffers of a TorchScript archive, by the names of the attributes that hold them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        root = archive.namelist()[0].split("/")[0]
        tree = _Unpickler(io.BytesIO(archive.read(f"{root}/data.pkl")), _TENSORS, modules=True).load()
        stored = ((name, leaf) for name, leaf in _leaves(tree) if isinstance(leaf, _Stored))
        return {name: _filled(name, leaf, lambda key: archive.read(f"{root}/data/{key}")) for name, leaf in stored}


def read_torch(content: bytes) -> dict[str, Tensor]:
    """Reads nested dicts of tensors as torch saved them before 1.6: four pickles, then the numbers of each storage."""
    file = io.BytesIO(content)
    if _Unpickler(file, {}).load() != _TORCH_MAGIC:
        raise ValueError("not a file of torch before 1.6")
    _, system = (_Unpickler(file, {}).load() for _ in range(2))
    if not system["little_endian"]:
        raise ValueError("a file of a big-endian machine")
    tree = _Unpickler(file, _TENSORS).load()
    numbers = {str(key): _next_storage(file) for key in _Unpickler(file, {}).load()}
    return {name: _filled(name, leaf, numbers.__getitem__) for name, leaf in _leaves(tree)}


def _next_storage(file: BinaryIO) -> bytes:
    (count,) = np.frombuffer(file.read(_COUNT.itemsize), _COUNT)
    return file.read(int(count) * _FLOAT.itemsize)


def _leaves(tree: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Everything below nested dicts and modules, with its dotted name."""
    if isinstance(tree, _Module):
        tree = vars(tree)
    if not isinstance(tree, dict):
        yield prefix, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))


def _filled(name: str, leaf: object, numbers_of: Callable[[str], bytes]) -> Tensor:
    if not isinstance(leaf, _Stored):
        raise ValueError(f"{name or 'the root'} is a {type(leaf).__name__}")
    numbers = numbers_of(leaf.storage.key)
    if len(numbers) != leaf.storage.size * _FLOAT.itemsize:
        raise ValueError(f"{name} has {len(numbers)} bytes, not {leaf.storage.size} numbers")
    array = np.frombuffer(numbers, _FLOAT, math.prod(leaf.shape), leaf.offset * _FLOAT.itemsize)
    return _tensor(name, array.reshape(leaf.shape))


def _tensor(name: str, array: object) -> Tensor:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        kind = f"array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name or 'the root'} is a {kind}")
    return torch.from_numpy(np.array(array, np.float32, order="C"))
