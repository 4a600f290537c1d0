"""Values with their intervals as small drawings in the cells of a table, all rows of a table on one axis."""

from collections.abc import Iterable
from dataclasses import dataclass

from evaluation.base import Interval

WIDTH, HEIGHT = 132.0, 18.0
_EDGE = 6.0


@dataclass(frozen=True)
class Whisker:
    """In units of the drawing: the value's place, the ends of its interval, marks of other values, and zero."""

    value: float
    ends: tuple[float, float] | None = None
    marks: tuple[tuple[str, float], ...] = ()
    zero: float | None = None
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class Axis:
    """From values to places in the drawing; values outside are held at its edges."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float], *, zero: bool = False) -> "Axis":
        """An axis that holds all values, and zero where it is asked for."""
        found = [*values, *([0.0] if zero else [])]
        low, high = min(found, default=0.0), max(found, default=1.0)
        return cls(low, high) if high > low else cls(low - 0.5, low + 0.5)

    def place(self, value: float) -> float:
        """Where a value stands, rounded so that the page stays small."""
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(_EDGE + share * (WIDTH - 2 * _EDGE), 1)

    def whisker(
        self, value: float | None, ci95: Interval | None, marks: dict[str, float] | None = None
    ) -> Whisker | None:
        """The drawing of a value; None without one. `marks` are other values by their style."""
        if value is None:
            return None
        ends = None if ci95 is None else (self.place(ci95.low), self.place(ci95.high))
        placed = tuple((style, self.place(mark)) for style, mark in (marks or {}).items())
        zero = self.place(0.0) if self.low < 0 < self.high else None
        return Whisker(self.place(value), ends, placed, zero)


def ends(ci95: Interval | None) -> list[float]:
    """The bounds of an interval, for an axis."""
    return [] if ci95 is None else [ci95.low, ci95.high]
