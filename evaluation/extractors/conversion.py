"""From a package's checkpoint to safetensors: its sha256 first, then a reader that can build nothing but arrays.

The checkpoints of `WEIGHTS` are pickles of nested dicts of numpy arrays. They are read once, with an allow-list of the
three globals that such a pickle needs; the tensors keep the source's names (joined by dots) and layout.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from evaluation.extractors.probe import Probe, probe_i3d
from evaluation.extractors.weights import I3D_K400, WeightSource, check_fingerprint, record_of, weight_files
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # its place before numpy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
PROBES: dict[str, Callable[[Mapping[str, Tensor]], Probe]] = {I3D_K400.id: probe_i3d}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuses every global that a pickle of arrays does not need."""
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed") from None


def read_checkpoint(path: Path, sha256: str) -> dict[str, Tensor]:
    """The arrays of a pickled checkpoint by their dotted names.

    Raises:
        DataError: the file is absent, its sha256 is another, or it holds anything but nested dicts of float32 arrays.
    """
    content = _content(path, sha256)
    try:
        arrays = dict(_leaves(_ArraysOnly(io.BytesIO(content)).load()))
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a checkpoint of arrays alone", got=str(error)) from error
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def convert(source: WeightSource, packages: Path, directory: Path) -> Probe:
    """Writes a source's tensors and their record into `directory`, once they have passed every check.

    Args:
        source: an item of `WEIGHTS`.
        packages: where its package is installed.
        directory: as `weights_directory()`.

    Returns:
        What the network said of the probe clip.

    Raises:
        DataError: the checkpoint, its tensors or the network they make are not the recorded ones.
    """
    path = packages / source.member
    tensors = read_checkpoint(path, source.sha256)
    check_fingerprint(source, tensors, path)
    probe = PROBES[source.id](tensors)
    content = save(tensors)
    tensors_file, record_file = weight_files(source, directory)
    with atomic_file(tensors_file) as file:
        file.write(content)
    with atomic_file(record_file) as file:
        record = record_of(source, hashlib.sha256(content).hexdigest())
        file.write((json.dumps(record, indent=2, sort_keys=True) + "\n").encode())
    return probe


def _content(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror or "") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{path} is not the recorded file", expected=f"sha256 {sha256}", got=found)
    return content


def _leaves(tree: object, prefix: str = "") -> Iterator[tuple[str, NDArray[np.float32]]]:
    if isinstance(tree, np.ndarray) and tree.dtype == np.float32:
        yield prefix, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        raise ValueError(f"{prefix or 'the root'} is a {type(tree).__name__}")
