"""What a table of a page is, and the parts that every table is made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluation.base import Direction, Interval
from evaluation.page.figures import Figures, verdict_of, with_unit
from evaluation.page.whiskers import Axis, Whisker, ends


@dataclass(frozen=True)
class Cell:
    """A text, and the class of the style sheet that it has."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Row:
    """A named value with its interval as text and drawing, and further cells."""

    name: str
    value: str
    interval: str = ""
    whisker: Whisker | None = None
    cells: tuple[Cell, ...] = ()
    note: str = ""
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A metric's table, or one of several metrics where `better` is null.

    Attributes:
        heads: of the columns: the first, the value's, and of the further cells; the drawing needs none.
        legend: styles of the drawing's marks with their names.
        notes: said below it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    extractor: str = ""
    better: Direction | None = None
    legend: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A paired difference, first less second, before it is written."""

    name: str
    unit: str
    direction: Direction
    difference: float
    ci95: Interval | None
    note: str = ""
    cells: tuple[Cell, ...] = ()


def titled(metric_id: str, unit: str) -> tuple[str, str]:
    """A metric's name with its unit, and its extractor."""
    name, _, extractor = metric_id.partition("@")
    return with_unit(name, unit), extractor


def pair_rows(pairs: Sequence[Pair]) -> tuple[Row, ...]:
    """Rows of differences of unlike metrics: each has an axis of its own, with zero in it."""
    return tuple(_pair_row(pair) for pair in pairs)


def _pair_row(pair: Pair) -> Row:
    figures = Figures.of([pair.difference, *ends(pair.ci95)])
    reach = max(abs(v) for v in (pair.difference, *ends(pair.ci95))) or 1.0
    verdict = verdict_of(pair.difference, pair.ci95, pair.direction)
    return Row(
        name=with_unit(pair.name, pair.unit),
        note=pair.note,
        value=figures.difference(pair.difference),
        interval=figures.interval(pair.ci95, signed=True),
        whisker=Axis(-reach, reach).whisker(pair.difference, pair.ci95),
        cells=(verdict_cell(verdict), *pair.cells),
    )


def verdict_cell(verdict: str) -> Cell:
    """`better`, `worse` or `cannot tell` in its colour."""
    return Cell(verdict, {"better": "good", "worse": "bad"}.get(verdict, "unsure"))


def reasons(found: Iterable[str | None], what: str = "No interval") -> tuple[str, ...]:
    """Each reason once, as a note."""
    return tuple(f"{what}: {reason}." for reason in dict.fromkeys(reason for reason in found if reason))
