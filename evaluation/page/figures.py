"""Numbers of a page as text: so many decimals that three figures stand, the same for all rows of a table."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from evaluation.base import Direction, Interval

_MINUS, _NONE = "\N{MINUS SIGN}", "–"


@dataclass(frozen=True)
class Figures:
    """How the numbers of one table are written."""

    decimals: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Figures":
        """Decimals for the largest of the values: 3 below 1, 2 below 100, 1 below 1000, then none.

        More, up to 4, where the values lie so close together that they would read the same.
        """
        known = [value for value in values if value is not None]
        top = max(map(abs, known), default=0.0)
        spread = max(known, default=0.0) - min(known, default=0.0)
        close = math.ceil(1 - math.log10(spread)) if spread > 0 else 0
        return cls(max(3 if top < 1 else 2 if top < 100 else 1 if top < 1000 else 0, min(close, 4)))

    def number(self, value: float | None) -> str:
        """The value, or a dash where there is none."""
        return _NONE if value is None else f"{value:.{self.decimals}f}".replace("-", _MINUS)

    def difference(self, value: float | None) -> str:
        """The value with its sign."""
        return _NONE if value is None else f"{value:+.{self.decimals}f}".replace("-", _MINUS)

    def interval(self, interval: Interval | None, *, signed: bool = False) -> str:
        """`low to high`, or nothing."""
        write = self.difference if signed else self.number
        return "" if interval is None else f"{write(interval.low)} to {write(interval.high)}"


def verdict_of(difference: float, ci95: Interval | None, direction: Direction) -> str:
    """`better`, `worse`, or `cannot tell` where the interval covers zero or there is none."""
    if ci95 is None or ci95.covers_zero:
        return "cannot tell"
    return "better" if (difference > 0) == (direction == "up") else "worse"


def count(n: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def with_unit(name: str, unit: str) -> str:
    """`name, unit`; a ratio has none."""
    return name if unit == "1" else f"{name}, {unit}"


def words(name: str) -> str:
    """An id as words."""
    return name.replace("_", " ")
