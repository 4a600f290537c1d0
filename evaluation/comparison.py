"""How a challenger compares with the champion on the very same clips: paired differences with intervals and verdicts.

A record, made by `evaluation.compare`; the gate reads it. Standard library and pydantic only.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from evaluation.base import Direction, Interval, Record, close
from evaluation.report import Protocol
from worldmodel.errors import ProtocolMismatchError

COMPARISON_SCHEMA: Literal["worldmodel.comparison/1"] = "worldmodel.comparison/1"
ComparisonVerdict = Literal["better", "worse", "cannot tell"]
MOST_LOGS_WITHOUT_INTERVAL = 3


def difference_name(
    source: str, split: str, metric: str, region: str = "all", method: str | None = None, part: str | None = None
) -> str:
    """What a difference is of, in one word: `synthetic/test/dmd/video/psnr/light=night`."""
    where = "" if region == "all" else f"[{region}]"
    return "/".join(word for word in (source, split, method, metric + where, part) if word)


class Difference(Record):
    """One metric of both models on the same clips; `difference` is challenger - champion, in the metric's unit.

    Attributes:
        method: whose videos; null: reconstruction.
        slice: `dimension=value`, e.g. `light=night`; null: all clips of the source and split.
        ci95: of the difference. For one of several slices it covers all of them at once (`corrected_for` of them).
        no_interval: why there is none, which only few logs excuse.
        verdict: `better` or `worse` where the interval leaves out zero, else `cannot tell`.
    """

    source: str
    split: str
    metric: str
    region: str = "all"
    method: str | None = None
    slice: str | None = None
    unit: str
    direction: Direction
    n_clips: int = Field(ge=1)
    n_logs: int = Field(ge=1)
    challenger: float
    champion: float
    difference: float
    ci95: Interval | None
    no_interval: str | None = None
    corrected_for: int = Field(default=1, ge=1)
    verdict: ComparisonVerdict

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if not close(self.difference, self.challenger - self.champion):
            raise ValueError(f"{self.metric}: difference is not challenger - champion")
        if (self.ci95 is None) == (self.no_interval is None):
            raise ValueError(f"{self.metric}: either an interval or the reason for having none")
        if self.ci95 is None and self.n_logs > MOST_LOGS_WITHOUT_INTERVAL:
            raise ValueError(f"{self.metric}: {self.n_logs} logs, and no interval")
        if self.verdict != verdict_of(self.ci95, self.direction):
            raise ValueError(f"{self.metric}: verdict {self.verdict} does not follow from the interval")
        return self

    @property
    def gain(self) -> float:
        """The difference, turned so that positive is better."""
        return self.difference if self.direction == "up" else -self.difference

    @property
    def worst(self) -> float | None:
        """The worse end of the interval, turned so that positive is better."""
        if self.ci95 is None:
            return None
        return self.ci95.low if self.direction == "up" else -self.ci95.high

    @property
    def name(self) -> str:
        """What a comparison holds once."""
        return difference_name(self.source, self.split, self.metric, self.region, self.method, self.slice)


class Comparison(Record):
    """All paired differences between two reports, which are named by their fingerprints.

    `left_out` says by name (`difference_name`) why something that was measured is not compared.
    """

    schema_version: Literal["worldmodel.comparison/1"] = COMPARISON_SCHEMA
    challenger_report_sha256: str
    champion_report_sha256: str
    differences: tuple[Difference, ...]
    left_out: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [difference.name for difference in self.differences]
        if len(set(names)) < len(names) or set(names) & set(self.left_out):
            raise ValueError("a difference appears twice")
        return self

    def find(self, name: str) -> Difference | str:
        """The difference of this name (`difference_name`), or why there is none."""
        found = next((difference for difference in self.differences if difference.name == name), None)
        return found or self.left_out.get(name, f"{name} was not compared")


def verdict_of(ci95: Interval | None, direction: Direction) -> ComparisonVerdict:
    """What the interval of a difference says."""
    if ci95 is None or ci95.covers_zero:
        return "cannot tell"
    return "better" if (ci95.low > 0) == (direction == "up") else "worse"


def protocol_difference(a: Protocol, b: Protocol) -> str | None:
    """The first field in which two protocols differ, with both values; None where they are equal."""
    return _first_difference(a.model_dump(mode="json"), b.model_dump(mode="json"), "protocol")


def require_same_protocol(challenger: Protocol, champion: Protocol) -> None:
    """Refuses to compare what was measured otherwise.

    Raises:
        ProtocolMismatchError: names the field.
    """
    differing = protocol_difference(challenger, champion)
    if differing is not None:
        raise ProtocolMismatchError(
            "the reports are under different protocols, so their numbers do not compare",
            expected="equal protocols",
            got=differing,
            fix="measure both under one protocol: worldmodel evaluate MODEL --protocol P",
        )


def _first_difference(a: object, b: object, path: str) -> str | None:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        parts = [(a.get(key), b.get(key), f"{path}.{key}") for key in keys]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        parts = [(ours, theirs, f"{path}[{i}]") for i, (ours, theirs) in enumerate(zip(a, b, strict=True))]
    else:
        return None if a == b else f"{path}: {a} and {b}"
    found = (_first_difference(ours, theirs, where) for ours, theirs, where in parts)
    return next((difference for difference in found if difference is not None), None)
