"""Published numbers beside a report's own, as text for a terminal of 80 columns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evaluation.generation.words import leading_method
from evaluation.published import PublishedRow, published_rows
from evaluation.report import Report

if TYPE_CHECKING:
    from rich.console import RenderableType


def published_parts(report: Report) -> Iterator["RenderableType"]:
    """A table with the report's value of each published metric on top, then what to know of the rows; or nothing."""
    rows = published_rows(report)
    if not rows:
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    ours = own_values(report)
    metrics = [metric for metric in _metrics(rows) if metric in ours]
    title = f"published under {report.protocol.preset.name}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, width=80)
    table.add_column("method", overflow="fold")
    for metric in metrics:
        table.add_column(metric.replace("@", "\n@"), justify="right", no_wrap=True)
    table.add_row("this model", *(number(ours[metric]) for metric in metrics), style="bold")
    for row in rows:
        values = (number(row.values[metric]) if metric in row.values else "-" for metric in metrics)
        table.add_row(row.method, *values)
    yield table
    for says in dict.fromkeys(row.protocol.says for row in rows):
        yield Text(says, style="dim")
    for note in dict.fromkeys(row.note for row in rows if row.note):
        yield Text(f"{', '.join(row.method for row in rows if row.note == note)}: {note}", style="dim")


def _metrics(rows: list[PublishedRow]) -> list[str]:
    return list(dict.fromkeys(metric for row in rows for metric in row.values))


def own_values(report: Report) -> dict[str, float]:
    """What held-out clips of the only source score, by metric id: of renders, and of the leading method's videos."""
    found: dict[str, float | None] = {}
    for group in report.groups:
        if not group.same_log:
            found |= {metric.id: metric.value for metric in group.metrics if metric.region == "all"}
    for videos in report.generation:
        method = videos.method(leading_method(videos) or "")
        if not videos.same_log and method is not None:
            found |= {metric.id: metric.value for metric in method.metrics}
    return {metric: value for metric, value in found.items() if value is not None}


def number(value: float) -> str:
    """A ratio with three decimals, all else with two, as papers have it."""
    return f"{value:.{3 if abs(value) < 1 else 2}f}"
