"""Numbers that others published, as data with their source and protocol: `published.yaml`.

A row stands beside ours only where our report was measured under the very preset, and on the dataset, that the row's
own protocol is: numbers of unequal protocols say nothing about each other. Pydantic and YAML only.
"""

from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from evaluation.base import Record
from evaluation.protocols import PRESETS
from evaluation.report import Report
from worldmodel.errors import DataError

PUBLISHED_FILE = Path(__file__).with_name("published.yaml")


class PublishedSource(Record):
    """Where numbers stand."""

    title: str
    url: str


class PublishedProtocol(Record):
    """How numbers were measured.

    Attributes:
        dataset: the name that our adapters give it.
        preset: ours that is the same; null where none is, and `unlike` then says why.
    """

    dataset: str
    preset: str | None
    says: str
    unlike: str | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if (self.preset is None) == (self.unlike is None):
            raise ValueError("a protocol has either a preset or the reason for having none")
        if self.preset is not None:
            ours = PRESETS.get(self.preset)
            if ours is None or ours.dataset != self.dataset:
                raise ValueError(f"preset {self.preset} is not one of ours on {self.dataset}")
        return self


class PublishedRow(Record):
    """What one method scored, by metric id in that metric's unit."""

    method: str
    source: PublishedSource
    where: str
    protocol: PublishedProtocol
    values: dict[str, float] = Field(min_length=1)
    note: str = ""


@cache
def all_published(path: Path = PUBLISHED_FILE) -> tuple[PublishedRow, ...]:
    """Every row of the file, in its order.

    Raises:
        DataError: the file is damaged, or a row names a source or protocol that is not in it.
    """
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = tuple(_row(raw, row) for row in raw["rows"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise DataError(f"{path}: no usable table of published numbers", got=str(error), fix="restore it") from error
    return rows


def _row(raw: dict[str, Any], row: dict[str, Any]) -> PublishedRow:
    source, protocol = raw["sources"][row["source"]], raw["protocols"][row["protocol"]]
    return PublishedRow.model_validate({**row, "source": source, "protocol": protocol})


def published_rows(report: Report) -> list[PublishedRow]:
    """The rows that may stand beside a report: of the very same preset, where its dataset is all that was measured."""
    asked, measured = report.protocol.preset, set(report.protocol.sources)
    ours = PRESETS.get(asked.name)
    if ours is None or ours.fingerprint != asked.fingerprint:  # of another version, or made by hand
        return []
    return [row for row in all_published() if row.protocol.preset == asked.name and measured == {row.protocol.dataset}]
