"""Fields of somebody else's JSON, read so that whatever is missing or of the wrong type is named: file and field."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.data.schema import Float
from worldmodel.errors import DataError


def error_text(error: Exception) -> str:
    """What an error says, without paths and addresses: why a log is left out is written into deterministic outputs."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


@dataclass(frozen=True)
class JsonField:
    """A value in a JSON file and the way to it. Every method raises DataError naming both."""

    file: str
    way: str
    value: Any

    @classmethod
    def of_file(cls, path: Path, name: str) -> "JsonField":
        """The whole content of a file; `name` is what errors call it."""
        try:
            return cls(name, "", json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise DataError(f"{name} cannot be read", expected="a JSON file", got=error_text(error)) from error

    def __getitem__(self, key: str) -> "JsonField":
        if not isinstance(self.value, dict) or key not in self.value:
            raise self.wrong(f"a field {key}", "none")
        return JsonField(self.file, f"{self.way}.{key}".lstrip("."), self.value[key])

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __iter__(self) -> "Iterator[JsonField]":
        if not isinstance(self.value, list):
            raise self.wrong("a list", type(self.value).__name__)
        return iter([JsonField(self.file, f"{self.way}[{i}]", value) for i, value in enumerate(self.value)])

    @property
    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self.wrong("text", repr(self.value))
        return self.value

    @property
    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not np.isfinite(self.value):
            raise self.wrong("a finite number", repr(self.value))
        return float(self.value)

    def numbers(self, *keys: str) -> Float:
        """The numbers under several keys, as one vector."""
        return np.array([self[key].number for key in keys])

    def wrong(self, expected: str, got: str) -> DataError:
        """The error that says what this field should have been."""
        return DataError(f"{self.file}: field {self.way or '(top level)'}", expected=expected, got=got)
