"""A comparison as text for a terminal of 80 columns."""

from typing import TYPE_CHECKING

from evaluation.comparison import Comparison, Difference
from evaluation.generation.words import short
from evaluation.generation_report import STUDENT

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_REGIONS, _NAMED = ("all", "dynamic"), 3
_VERDICTS = {"better": "[green]better[/]", "worse": "[red]worse[/]", "cannot tell": "cannot tell"}


def comparison_table(comparison: Comparison, a: str, b: str) -> "RenderableType":
    """Differences A - B: a table a source of what leads and of all that differs, then the rest in words."""
    from rich.console import Group as Stack
    from rich.text import Text

    shown = [difference for difference in comparison.differences if _leads(difference)]
    parts: list[RenderableType] = [Text(f"A  {a}\nB  {b}")]
    for place in dict.fromkeys((difference.source, difference.split) for difference in shown):
        rows = [difference for difference in shown if (difference.source, difference.split) == place]
        parts.append(_table(f"{place[0]}, {place[1]} split: A - B on the same clips", rows))
    others = len(comparison.differences) - len(shown)
    if others:
        parts.append(Text(f"{others} further differences cannot be told: --json has them", style="dim"))
    for reason in dict.fromkeys(comparison.left_out.values()):
        names = [name for name, why in comparison.left_out.items() if why == reason]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts.append(Text(f"not compared: {reason}: {', '.join(names[:_NAMED])}{more}", style="yellow"))
    return Stack(*parts)


def _leads(difference: Difference) -> bool:
    """Whether it is of the renders or the student on all clips, or differs."""
    first = difference.slice is None and difference.method in (None, STUDENT) and difference.region in _REGIONS
    return first or difference.verdict != "cannot tell"


def _table(title: str, rows: list[Difference]) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), width=80)
    table.add_column("metric", overflow="fold")
    for column in ("A", "B", "A - B", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        values = (_number(row, row.challenger), _number(row, row.champion), _number(row, row.difference, "+"))
        interval = "-" if row.ci95 is None else f"{_number(row, row.ci95.low, '+')} {_number(row, row.ci95.high, '+')}"
        table.add_row(escape(_name(row)), *values, interval, _VERDICTS[row.verdict])
    return table


def _name(row: Difference) -> str:
    region = "" if row.region == "all" else f" {row.region}"
    unit = "" if row.unit == "1" else f", {row.unit}"
    return "\n".join(filter(None, [f"{row.metric}{region}{unit}", row.method, row.slice]))


def _number(row: Difference, value: float, sign: str = "-") -> str:
    """Ratios with three decimals, else about three digits; a distance of videos is no ratio, though its unit is 1."""
    ratio = row.unit == "1" and max(abs(row.challenger), abs(row.champion)) < 10
    return f"{value:{sign}.3f}" if ratio else short(value, sign)
