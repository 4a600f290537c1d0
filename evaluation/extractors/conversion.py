"""From a weights file to safetensors: its sha256 first, then a reader of tensors alone, their fingerprint, and a probe.

What is written is the same to the byte wherever the file came from: a package, a copy of the file in it, or a
safetensors file that this module wrote elsewhere.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from evaluation.extractors.checkpoints import UNREADABLE, Reader, read_arrays, read_torch, read_torchscript
from evaluation.extractors.probe import (
    Probe,
    probe_dists,
    probe_i3d,
    probe_inception,
    probe_lpips_alex,
    probe_lpips_vgg,
)
from evaluation.extractors.weights import (
    DISTS,
    FETCH_COMMAND,
    I3D_K400,
    INCEPTION,
    LPIPS_ALEX,
    LPIPS_VGG,
    WeightSource,
    check_fingerprint,
    load_tensors,
    record_of,
    weight_files,
)
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError

SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class Recipe:
    """How a source is read and tried out.

    Attributes:
        read: the reader of its file's format.
        probe: runs the network, and raises `DataError` when it does not say what it should.
        base: the source of the network below, whose tensors the probe gets as well; it is converted before.
    """

    read: Reader
    probe: Callable[[Mapping[str, Tensor]], Probe]
    base: WeightSource | None = None


RECIPES = {
    I3D_K400.id: Recipe(read_arrays, probe_i3d),
    INCEPTION.id: Recipe(read_torchscript, probe_inception),
    LPIPS_ALEX.id: Recipe(read_arrays, probe_lpips_alex),
    LPIPS_VGG.id: Recipe(read_arrays, probe_lpips_vgg),
    DISTS.id: Recipe(read_torch, probe_dists, base=LPIPS_VGG),
}


def read_weights(source: WeightSource, path: Path) -> dict[str, Tensor]:
    """The tensors of a source from a copy of its file, or from a converted file of it (*.safetensors).

    Raises:
        DataError: the file is absent, damaged or another, or holds other tensors.
    """
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    converted = path.suffix == SAFETENSORS
    if not converted and sha256 != source.sha256:
        expected = f"sha256 {source.sha256}, or a converted *{SAFETENSORS}"
        raise DataError(f"{path} is not the recorded file of {source.id}", expected=expected, got=sha256)
    try:
        tensors = load(content) if converted else RECIPES[source.id].read(content)
    except (*UNREADABLE, SafetensorError) as error:
        raise DataError(f"{path} is not a file of float32 tensors alone", got=str(error)) from error
    check_fingerprint(source, tensors, path)
    return tensors


def convert(source: WeightSource, path: Path, directory: Path) -> Probe:
    """Writes a source's tensors and their record into `directory`, once they have passed every check.

    Args:
        source: an item of `WEIGHTS`.
        path: as of `read_weights`.
        directory: as `weights_directory()`.

    Returns:
        What the network said of the probe.

    Raises:
        DataError: the file, its tensors or the network they make are not the recorded ones.
        MissingDependencyError: the network below is not in `directory` yet.
    """
    recipe = RECIPES[source.id]
    tensors = read_weights(source, path)
    base = load_tensors(recipe.base, directory) if recipe.base else {}
    probe = recipe.probe({**base, **tensors})
    content = save(tensors)
    tensors_file, record_file = weight_files(source, directory)
    with atomic_file(tensors_file) as file:
        file.write(content)
    with atomic_file(record_file) as file:
        record = record_of(source, hashlib.sha256(content).hexdigest())
        file.write((json.dumps(record, indent=2, sort_keys=True) + "\n").encode())
    return probe


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fix = f"{FETCH_COMMAND}, with --from naming a file that is there"
        raise DataError(f"{path} cannot be read", got=error.strerror or "", fix=fix) from error
