"""Feature vectors of generated and reference clips, and the files that keep them.

A table is of one network: `i3d-k400`, or `i3d-k400-tok` where the reference clips went through the tokenizer as well.
Features come from networks in fp32 and are kept so, and distances are taken of what is kept: who reads the file has the
very numbers of the report.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.base import canonical_json
from evaluation.metrics.distance_intervals import LogRows
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError

REFERENCE = "reference"
_ROWS = "rows"
_FIX = "run the evaluate stage again"
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """Which clip and log each row is of; a clip has a row a video, or one an image."""

    samples: tuple[str, ...]
    logs: tuple[str, ...]


@dataclass(frozen=True)
class FeatureTable:
    """Features of one network.

    Attributes:
        made: by method, [N, d] each, of the same clips in the same order.
        made_rows: of what each of the N rows is.
        reference: [M, d].
        reference_rows: of what each of the M rows is.
    """

    made: Mapping[str, Features]
    made_rows: Rows
    reference: Features
    reference_rows: Rows

    def of(self, method: str) -> LogRows:
        """The rows of a method.

        Raises:
            DataError: there is no such method.
        """
        if method not in self.made:
            raise DataError(f"features of {method}", expected=" or ".join(self.made), got="none")
        return LogRows(self.made[method].astype(np.float64), self.made_rows.logs)

    @property
    def true(self) -> LogRows:
        """The reference rows."""
        return LogRows(self.reference.astype(np.float64), self.reference_rows.logs)


@dataclass(frozen=True)
class GroupFeatures:
    """All tables of the clips of one source and split."""

    source: str
    split: str
    tables: Mapping[str, FeatureTable]


def features_path(directory: Path, source: str, split: str) -> Path:
    """Where the features of a source and split lie."""
    return directory / f"{source}-{split}.safetensors"


def write_features(directory: Path, groups: Iterable[GroupFeatures]) -> list[Path]:
    """Writes one safetensors file a group: `<table>/<method>` and `<table>/reference`, fp32; what the rows are of is
    one JSON text in the metadata. The same features give the same bytes.

    Args:
        directory: is made where missing.
        groups: `Generation.features`.
    """
    from safetensors.numpy import save

    paths = []
    for group in groups:
        tensors: dict[str, Features] = {}
        for name, table in group.tables.items():
            tensors |= {f"{name}/{method}": np.ascontiguousarray(rows) for method, rows in table.made.items()}
            tensors[f"{name}/{REFERENCE}"] = np.ascontiguousarray(table.reference)
        rows = {name: [_plain(table.made_rows), _plain(table.reference_rows)] for name, table in group.tables.items()}
        path = features_path(directory, group.source, group.split)
        with atomic_file(path) as file:
            file.write(save(tensors, metadata={_ROWS: canonical_json(rows)}))
        paths.append(path)
    return paths


def read_features(path: Path) -> dict[str, FeatureTable]:
    """The tables of one file by name.

    Raises:
        DataError: missing, damaged, or without what its rows are of.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no iterator of its own
            rows = json.loads((file.metadata() or {})[_ROWS])
        return {name: _table(name, tensors, *map(_rows, both)) for name, both in rows.items()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: features cannot be read", got=str(error), fix=_FIX) from None


def _table(name: str, tensors: Mapping[str, Features], made_rows: Rows, reference_rows: Rows) -> FeatureTable:
    found = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
    reference = found.pop(REFERENCE)
    for key, value, rows in [*((k, v, made_rows) for k, v in found.items()), (REFERENCE, reference, reference_rows)]:
        if len(value) != len(rows.logs):
            raise ValueError(f"{name}/{key} has {len(value)} rows of {len(rows.logs)}")
    return FeatureTable(found, made_rows, reference, reference_rows)


def _plain(rows: Rows) -> dict[str, list[str]]:
    return {"samples": list(rows.samples), "logs": list(rows.logs)}


def _rows(plain: Mapping[str, list[str]]) -> Rows:
    return Rows(tuple(plain["samples"]), tuple(plain["logs"]))
