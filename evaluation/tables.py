"""Reports and decisions as text tables for a terminal of 80 columns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evaluation.decision import Decision
from evaluation.generation_tables import generation_parts
from evaluation.report import NEAREST, ORACLE, Baseline, Group, Metric, Report

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MARKS = {
    "pass": "[green]pass[/]",
    "fail": "[red]fail[/]",
    "missing": "[red]missing[/]",
    "not_applicable": "[yellow]not applicable[/]",
}
_VERDICTS = {"promote": "green", "already_champion": "green", "refuse": "red"}


def report_table(report: Report, regions: tuple[str, ...] = ("all", "dynamic")) -> "RenderableType":
    """A table a group (`gap`: share of nearest to oracle closed) and one of generated videos, then all in words."""
    from rich.console import Group as Stack
    from rich.markup import escape
    from rich.text import Text

    parts: list[RenderableType] = [_group_table(group, regions) for group in report.groups]
    parts += [part for generated in report.generation for part in generation_parts(generated)]
    parts.append(Text(report.summary))
    parts += [
        Text.from_markup(f"[yellow]not measured[/] {escape(n.what)}: {escape(n.reason)}") for n in report.not_applicable
    ]
    return Stack(*parts)


def decision_table(decision: Decision) -> "RenderableType":
    """The verdict in one line, then every rule with what it asks, what was seen and why; what stopped it first."""
    from rich import box
    from rich.console import Group as Stack
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    headline = Text(decision.summary, style=f"bold {_VERDICTS[decision.verdict]}")
    if not decision.rules:
        return headline
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=80)
    table.add_column("verdict", width=14)
    table.add_column("rule", overflow="fold")
    for rule in sorted(decision.rules, key=lambda rule: rule.verdict == "pass"):
        table.add_row(_MARKS[rule.verdict], f"[bold]{escape(rule.id)}[/]\n{escape(rule.sentence)}")
    return Stack(headline, table)


def _group_table(group: Group, regions: tuple[str, ...]) -> "Table":
    from rich import box
    from rich.table import Table

    split = "same log" if group.same_log else f"{group.split} split"
    title = f"{group.source}, {split}: {_count(group.n_clips, 'clip')}, {_count(group.n_logs, 'log')}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, width=80)
    for column in ("metric", "value", "95 % interval", "nearest", "oracle", "gap"):
        first = column == "metric"
        table.add_column(column, justify="left" if first else "right", no_wrap=not first, overflow="fold")
    for row in _rows(group, regions):
        table.add_row(*row)
    return table


def _rows(group: Group, regions: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for metric in group.metrics:
        if metric.region not in regions:
            continue
        region = "" if metric.region == "all" else f" {metric.region}"
        unit = "" if metric.unit == "1" else f", {metric.unit}"
        ci = metric.ci95
        yield (
            f"{metric.id}{region}{unit}",
            "NaN" if metric.value is None else _number(metric.value, metric),
            "-" if ci is None else f"{_number(ci.low, metric)} to {_number(ci.high, metric)}",
            _baseline(metric.baselines.get(NEAREST), metric),
            _baseline(metric.baselines.get(ORACLE), metric),
            "-" if metric.gap_closed is None else f"{metric.gap_closed:.0%}",
        )


def _baseline(baseline: Baseline | None, metric: Metric) -> str:
    return "-" if baseline is None else _number(baseline.value, metric)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _number(value: float, metric: Metric) -> str:
    decimals = 0 if abs(value) >= 1000 else 3 if metric.unit == "1" else 2
    return f"{value:.{decimals}f}"
