"""Generated videos as text tables for a terminal of 80 columns: a row a method, in pipeline order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evaluation.base import Interval
from evaluation.generation.words import short
from evaluation.generation_report import GenerationGroup, MeasuredMethod, VideoMetric
from evaluation.metrics.catalogue import FVD_TOK, KVD_TOK, VIDEO_PSNR

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_COLUMNS = {FVD_TOK.id: "fvd-tok", KVD_TOK.id: "kvd-tok", VIDEO_PSNR.id: "psnr"}
_STYLES = {"floor": "dim", "baseline": "", "method": "bold"}


def generation_parts(group: GenerationGroup) -> Iterator["RenderableType"]:
    """The table of one group, then that of its paired comparisons, a row a pair."""
    from rich.text import Text

    table = _table(_title(group), "method")
    for method in group.methods:
        if any(method.metric(metric_id) for metric_id in _COLUMNS):
            table.add_row(*_row(method), style=_STYLES[method.role])
    yield table
    yield Text("* the floor: the true frames, after the tokenizer", style="dim")
    if group.no_distances is not None:
        yield Text(f"no distance: {group.no_distances}", style="yellow")
    pairs = [(method, other) for method in group.methods for other in _others(method)]
    if pairs:
        table = _table("paired differences on the same clips: the upper method less the lower", "methods")
        for method, other in pairs:
            table.add_row(*_comparison_row(method, other))
        yield table
        yield Text("? the interval covers zero, or there is none: no difference is shown", style="dim")


def _title(group: GenerationGroup) -> str:
    split = "same log" if group.same_log else f"{group.split} split"
    title = f"{group.source}, {split}, generated: {group.n_clips} clips of {group.n_logs} logs"
    if group.no_distances is not None:
        return title
    return f"{title}\ndistances to {group.n_reference_clips} clips of {group.n_reference_logs} other logs"


def _table(title: str, first: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, width=80, show_edge=False)
    table.add_column(first, overflow="fold")
    for name in _COLUMNS.values():
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("95 %", justify="right", no_wrap=True)
    return table


def _row(method: MeasuredMethod) -> Iterator[str]:
    yield method.name + ("*" if method.role == "floor" else "")
    for metric_id in _COLUMNS:
        metric = method.metric(metric_id)
        yield from ("-", "-") if metric is None else (_value(metric), _interval(metric.ci95))


def _others(method: MeasuredMethod) -> list[str]:
    """Everything that a method was compared with, once."""
    return list(dict.fromkeys(other for metric in method.metrics for other in metric.against))


def _comparison_row(method: MeasuredMethod, other: str) -> Iterator[str]:
    yield f"{method.name}\n{other}"
    for metric_id in _COLUMNS:
        metric = method.metric(metric_id)
        found = metric.against.get(other) if metric is not None else None
        if found is None:
            yield from ("-", "-")
            continue
        unsure = found.ci95 is None or found.ci95.covers_zero
        yield short(found.difference, "+") + ("?" if unsure else "")
        yield _interval(found.ci95, "+")


def _value(metric: VideoMetric) -> str:
    return "NaN" if metric.value is None else short(metric.value)


def _interval(interval: Interval | None, sign: str = "-") -> str:
    return "-" if interval is None else f"{short(interval.low, sign)} {short(interval.high, sign)}"
