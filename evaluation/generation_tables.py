"""Generated videos as text tables for a terminal of 80 columns: a row a method, in pipeline order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evaluation.base import Interval
from evaluation.generation.words import short
from evaluation.generation_report import GenerationGroup, MeasuredMethod, VideoMetric
from evaluation.metrics.catalogue import (
    FID,
    FOLLOWING,
    FVD,
    FVD_TOK,
    KID,
    KVD,
    KVD_TOK,
    REVISIT,
    SEED_SPREAD,
    VIDEO_CROSS_VIEW,
    VIDEO_LPIPS,
    VIDEO_LPIPS_VGG,
    VIDEO_PSNR,
    YAW_ERROR,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_COLUMNS = {FVD_TOK.id: "fvd-tok", KVD_TOK.id: "kvd-tok", VIDEO_PSNR.id: "psnr"}
_FURTHER = {
    "raw videos and their frames, and LPIPS against the recorded ones": {
        FVD.id: "fvd",
        KVD.id: "kvd",
        FID.id: "fid",
        KID.id: "kid",
        VIDEO_LPIPS.id: "lpips",
        VIDEO_LPIPS_VGG.id: "lpips-vgg",
    },
    "by the true geometry: revisit and overlap in dB, yaw off in degrees": {
        REVISIT.id: "revisit",
        VIDEO_CROSS_VIEW.id: "overlap",
        FOLLOWING.id: "follows",
        YAW_ERROR.id: "yaw",
        SEED_SPREAD.id: "spread",
    },
}
_STYLES = {"floor": "dim", "baseline": "", "method": "bold"}


def generation_parts(group: GenerationGroup) -> Iterator["RenderableType"]:
    """The tables of one group: with intervals, of further metrics, of drift; then paired comparisons, a row a pair."""
    from rich.text import Text

    table = _table(_title(group), "method")
    for method in group.methods:
        if any(method.metric(metric_id) for metric_id in _COLUMNS):
            table.add_row(*_row(method), style=_STYLES[method.role])
    yield table
    yield Text("* the floor: the true frames, after the tokenizer", style="dim")
    for title, columns in _FURTHER.items():
        yield from _plain(group, title, columns)
    yield from _infinity(group)
    yield from _drift(group)
    if group.no_distances is not None:
        yield Text(f"no distance: {group.no_distances}", style="yellow")
    pairs = [(method, other) for method in group.methods for other in _others(method)]
    if pairs:
        table = _table("paired differences on the same clips: the upper method less the lower", "methods")
        for method, other in pairs:
            table.add_row(*_comparison_row(method, other))
        yield table
        yield Text("? the interval covers zero, or there is none: no difference is shown", style="dim")


def _plain(group: GenerationGroup, title: str, columns: dict[str, str]) -> Iterator["RenderableType"]:
    """A table of values alone, where there are any; only columns with a value are shown."""
    values = {m.name: {x.id: _value(x) for x in m.metrics if x.id in columns} for m in group.methods}
    shown = [metric_id for metric_id in columns if any(metric_id in found for found in values.values())]
    if not shown:
        return
    table = _bare_table(title, "method")
    for metric_id in shown:
        table.add_column(columns[metric_id], justify="right", no_wrap=True)
    for method in group.methods:
        if values[method.name]:
            cells = [values[method.name].get(metric_id, "-") for metric_id in shown]
            table.add_row(_name(method), *cells, style=_STYLES[method.role])
    yield table


def _infinity(group: GenerationGroup) -> Iterator["RenderableType"]:
    """Fréchet distances without the bias of few clips, where there are logs enough."""
    found = [
        (method, metric, metric.at_infinity)
        for method in group.methods
        for metric in method.metrics
        if metric.at_infinity is not None
    ]
    if found:
        table = _bare_table("Fréchet distances at this n, and by the line over 1/n at endlessly many", "method")
        for name in ("metric", "rows", "at n", "at infinity"):
            table.add_column(name, justify="right", no_wrap=True)
        for method, metric, at_infinity in found:
            row = (metric.id.partition("@")[0], str(metric.n_rows), _value(metric), short(at_infinity))
            table.add_row(_name(method), *row, style=_STYLES[method.role])
        yield table


def _drift(group: GenerationGroup) -> Iterator["RenderableType"]:
    """KVD through the tokenizer, window by window, where videos are long enough for two."""
    longest = max((method.windows for method in group.methods), key=len, default=())
    if not longest:
        return
    table = _bare_table("drift: kvd-tok by frames after the given one", "method")
    for window in longest:
        table.add_column(f"{window.first}-{window.last}", justify="right", no_wrap=True)
    for method in group.methods:
        found = [next((m for m in window.metrics if m.id == KVD_TOK.id), None) for window in method.windows]
        if any(found):
            table.add_row(_name(method), *("-" if m is None else _value(m) for m in found), style=_STYLES[method.role])
    yield table


def _title(group: GenerationGroup) -> str:
    split = "same log" if group.same_log else f"{group.split} split"
    title = f"{group.source}, {split}, generated: {group.n_clips} clips of {group.n_logs} logs"
    if group.no_distances is not None:
        return title
    return f"{title}\ndistances to {group.n_reference_clips} clips of {group.n_reference_logs} other logs"


def _bare_table(title: str, first: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, width=80, show_edge=False)
    table.add_column(first, overflow="fold")
    return table


def _table(title: str, first: str) -> "Table":
    """A table with a value and its interval for each of the main metrics."""
    table = _bare_table(title, first)
    for name in _COLUMNS.values():
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("95 %", justify="right", no_wrap=True)
    return table


def _row(method: MeasuredMethod) -> Iterator[str]:
    yield _name(method)
    for metric_id in _COLUMNS:
        metric = method.metric(metric_id)
        yield from ("-", "-") if metric is None else (_value(metric), _interval(metric.ci95))


def _name(method: MeasuredMethod) -> str:
    return method.name + ("*" if method.role == "floor" else "")


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
