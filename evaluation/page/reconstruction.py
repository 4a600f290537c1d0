"""The tables and charts of reconstructed clips."""

from collections.abc import Sequence
from itertools import groupby

from evaluation.metrics.catalogue import PSNR
from evaluation.page.charts import Chart, Labels, Point, Series, chart
from evaluation.page.figures import Figures, count, words
from evaluation.page.tables import Cell, Row, Table, reasons, titled
from evaluation.page.whiskers import Axis, ends
from evaluation.report import NEAREST, ORACLE, ClipValue, Group, Metric
from evaluation.slice_value import SliceValue

_MARKS = {NEAREST: ("baseline", "nearest context frame"), ORACLE: ("oracle", "oracle reprojection")}


def metric_tables(group: Group) -> list[Table]:
    """A table a metric: a row a region, beside the baselines."""
    ids = list(dict.fromkeys(metric.id for metric in group.metrics))
    return [_metric_table([m for m in group.metrics if m.id == metric_id]) for metric_id in ids]


def _metric_table(metrics: Sequence[Metric]) -> Table:
    baselines = [key for key in _MARKS if any(key in m.baselines for m in metrics)]
    values = [v for m in metrics for v in (m.value, *ends(m.ci95), *(b.value for b in m.baselines.values()))]
    known = [v for v in values if v is not None]
    figures, axis = Figures.of(known), Axis.over(known)
    gap = any(m.gap_closed is not None for m in metrics)
    title, extractor = titled(metrics[0].id, metrics[0].unit)
    return Table(
        title=title,
        extractor=extractor,
        better=metrics[0].direction,
        heads=("region", "model", *(_MARKS[key][1].split()[0] for key in baselines), *(["gap closed"] if gap else [])),
        rows=tuple(_metric_row(m, baselines, gap, figures, axis) for m in metrics),
        legend=tuple(_MARKS[key] for key in baselines),
        notes=(
            *reasons((m.problem for m in metrics), "Not a number"),
            *reasons(m.no_interval for m in metrics if m.problem is None),
        ),
    )


def _metric_row(metric: Metric, baselines: Sequence[str], gap: bool, figures: Figures, axis: Axis) -> Row:
    found = {key: metric.baselines[key].value for key in baselines if key in metric.baselines}
    cells = [Cell(figures.number(found.get(key))) for key in baselines]
    if gap:
        cells.append(Cell("–" if metric.gap_closed is None else f"{metric.gap_closed:.0%}"))
    return Row(
        name="whole image" if metric.region == "all" else metric.region,
        value="NaN" if metric.value is None else figures.number(metric.value),
        interval=figures.interval(metric.ci95),
        whisker=axis.whisker(metric.value, metric.ci95, {_MARKS[key][0]: value for key, value in found.items()}),
        cells=tuple(cells),
        style="leading" if metric.region == "all" else "",
    )


def slice_tables(slices: Sequence[SliceValue], method: str | None, metric_id: str) -> tuple[list[Table], list[Table]]:
    """A table a metric (and method): a row a slice. That of this method and metric is apart, to be seen first."""
    ordered = sorted(slices, key=lambda s: (s.method or "", s.metric))
    grouped = groupby(ordered, key=lambda s: (s.method, s.metric))
    tables = {key: _slice_table(key[0], list(found)) for key, found in grouped}
    first = tables.pop((method, metric_id), None)
    return [] if first is None else [first], list(tables.values())


def _slice_table(method: str | None, slices: Sequence[SliceValue]) -> Table:
    known = [v for s in slices for v in (s.value, *ends(s.ci95))]
    figures, axis = Figures.of(known), Axis.over(known)
    title, extractor = titled(slices[0].metric, slices[0].unit)
    rows = tuple(_slice_row(s, figures, axis) for s in sorted(slices, key=lambda s: s.slice))
    few = [s for s in slices if s.n_clips < s.min_clips]
    said = f"Pale: fewer than {few[0].min_clips} clips, too few to be judged." if few else ""
    return Table(
        title=title if method is None else f"{title} of {method}",
        extractor=extractor,
        better=slices[0].direction,
        heads=("slice", "mean", "clips", "logs"),
        rows=rows,
        notes=(*([said] if said else []), *reasons(s.no_interval for s in slices)),
    )


def _slice_row(value: SliceValue, figures: Figures, axis: Axis) -> Row:
    return Row(
        name=words(value.slice).replace("=", ": ", 1),
        value=figures.number(value.value),
        interval=figures.interval(value.ci95),
        whisker=axis.whisker(value.value, value.ci95),
        cells=(Cell(str(value.n_clips)), Cell(str(value.n_logs))),
        style="few" if value.n_clips < value.min_clips else "",
    )


def clip_chart(group: Group) -> Chart | None:
    """PSNR of every clip beside its baselines, from the worst clip to the best."""
    metric = group.metric(PSNR.id)
    clips = [] if metric is None else sorted(_measured(metric), key=lambda c: (c.value or 0.0, c.clip_id))
    model = [Point(i, c.value, name=_said(c, c.value)) for i, c in enumerate(clips) if c.value is not None]
    series = [Series("model", "model", tuple(model), line=False)]
    for key, (style, name) in _MARKS.items():
        points = [
            Point(i, c.baselines[key], name=_said(c, c.baselines[key]))
            for i, c in enumerate(clips)
            if key in c.baselines
        ]
        series.append(Series(name, style, tuple(points), line=False))
    x = f"{count(len(clips), 'clip')}, from the worst to the best"
    return chart(Labels("PSNR by clip, dB", x, numbered=False), series)


def _measured(metric: Metric) -> list[ClipValue]:
    return [clip for clip in metric.per_clip if clip.value is not None]


def _said(clip: ClipValue, value: float) -> str:
    return f"{clip.clip_id}: {value:.2f} dB"
