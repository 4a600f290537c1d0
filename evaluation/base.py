"""What every record of a report or decision shares: one canonical text, a fingerprint, and strictness.

Standard library and pydantic only.
"""

import hashlib
import json
import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Direction = Literal["up", "down"]


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, shortest float repr; NaN and infinity raise ValueError."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def close(a: float, b: float) -> bool:
    """Equal but for rounding."""
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


class Record(BaseModel):
    """Base of everything in a report or decision: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Record):
    """A 95 % interval, in the unit of what it belongs to."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"interval: low {self.low} is above high {self.high}")
        return self

    @property
    def covers_zero(self) -> bool:
        """Whether a difference with this interval may be none."""
        return self.low <= 0 <= self.high
