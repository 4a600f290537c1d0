"""What others published under the very protocol of a report, beside the report's own numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.metrics.catalogue import METRICS, VIDEO_METRICS
from evaluation.page.figures import Figures
from evaluation.page.tables import Cell, Row, Table, titled
from evaluation.page.whiskers import Axis
from evaluation.pictures.films import leading_method
from evaluation.pictures.samples import shown_groups
from evaluation.published import PublishedRow, published_rows
from evaluation.report import Report


@dataclass(frozen=True)
class PublishedLine:
    """One method's value of a metric, and where it stands."""

    method: str
    value: float
    source: str
    note: str = ""
    style: str = "truth"


def published_tables(report: Report) -> list[Table]:
    """A table a metric that both have, the best first; none where nothing was published under the protocol."""
    rows = published_rows(report)
    ids = dict.fromkeys(metric_id for row in rows for metric_id in row.values)
    ours = {metric_id: _ours(report, metric_id) for metric_id in ids}
    return [_table(report, rows, metric_id, value) for metric_id, value in ours.items() if value is not None]


def _ours(report: Report, metric_id: str) -> float | None:
    """The report's value of a metric on the one dataset that it is of."""
    for group in shown_groups(report.groups):
        metric = group.metric(metric_id)
        if metric is not None:
            return metric.value
    for videos in shown_groups(report.generation):
        found = videos.metric(leading_method(videos) or "", metric_id)
        if found is not None:
            return found.value
    return None


def _table(report: Report, rows: Sequence[PublishedRow], metric_id: str, ours: float) -> Table:
    spec = (METRICS | VIDEO_METRICS)[metric_id]
    found = [(row.values[metric_id], row) for row in rows if metric_id in row.values]
    axis, figures = Axis.over([ours, *(value for value, _ in found)]), Figures.of([ours])
    own = PublishedLine(report.model.name, ours, "this report", style="model leading")
    lines = [own, *(PublishedLine(r.method, v, f"{r.source.title}, {r.where}", r.note) for v, r in found)]
    title, extractor = titled(metric_id, spec.unit)
    return Table(
        title=title,
        extractor=extractor,
        better=spec.direction,
        heads=("method", "value", "source"),
        rows=tuple(
            Row(
                name=line.method,
                note=line.note,
                value=figures.number(line.value),
                whisker=axis.whisker(line.value, None),
                cells=(Cell(line.source, "words"),),
                style=line.style,
            )
            for line in sorted(lines, key=lambda line: line.value, reverse=spec.direction == "up")
        ),
        notes=tuple(dict.fromkeys(f"{row.source.title}: {row.source.url}" for _, row in found)),
    )
