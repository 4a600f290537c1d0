"""The tables and charts of generated videos."""

from collections.abc import Iterator, Sequence

from evaluation.generation_report import (
    REPEAT,
    STUDENT,
    TEACHER,
    TOKENIZER,
    TRUE_FRAMES,
    GenerationGroup,
    MeasuredMethod,
    VideoMetric,
)
from evaluation.metrics.catalogue import FVD_TOK, KVD_TOK, VIDEO_PSNR
from evaluation.page.charts import Chart, Labels, Point, Series, chart
from evaluation.page.figures import Figures, count, words
from evaluation.page.tables import Cell, Pair, Row, Table, pair_rows, reasons, titled
from evaluation.page.whiskers import Axis, ends
from evaluation.pictures.films import leading_method

_STYLES = {STUDENT: "model", REPEAT: "baseline", TOKENIZER: "oracle", TRUE_FRAMES: "truth", TEACHER: "other-1"}
HEADLINES = (KVD_TOK.id, FVD_TOK.id, VIDEO_PSNR.id)
_OTHERS = ("other-2", "other-3", "other-4", "other-5")


def method_styles(group: GenerationGroup) -> dict[str, str]:
    """The class of the style sheet by which each method is told apart, in all tables and charts of a group."""
    leading, rest = leading_method(group), iter(_OTHERS * len(group.methods))
    return {
        method.name: "model" if method.name == leading else _STYLES.get(method.name) or next(rest)
        for method in group.methods
    }


def metric_ids(group: GenerationGroup) -> tuple[list[str], list[str]]:
    """Ids, the headline ones first: those to look at, and raw distances that have a `-tok` counterpart."""
    found = dict.fromkeys(metric.id for method in group.methods for metric in method.metrics)
    ids = sorted(found, key=lambda metric_id: metric_id not in HEADLINES)
    raw = [metric_id for metric_id in ids if "@" in metric_id and metric_id.replace("@", "-tok@") in ids]
    return [metric_id for metric_id in ids if metric_id not in raw], raw


def metric_table(group: GenerationGroup, metric_id: str) -> Table:
    """A row a method; Fréchet distances also without the bias of few clips."""
    found = [(method, metric) for method in group.methods if (metric := method.metric(metric_id)) is not None]
    metrics = [metric for _, metric in found]
    known = [v for m in metrics for v in (m.value, m.at_infinity, *ends(m.ci95)) if v is not None]
    infinite, figures = any(m.at_infinity is not None for m in metrics), Figures.of(known)
    axis, styles = Axis.over(known), method_styles(group)
    title, extractor = titled(metric_id, metrics[0].unit)
    return Table(
        title=title,
        extractor=extractor,
        better=metrics[0].direction,
        heads=("method", "value", *(["n → ∞"] if infinite else [])),
        rows=tuple(_row(method, metric, infinite, figures, axis, styles) for method, metric in found),
        notes=(
            _counts(metrics[0]),
            *reasons((m.problem for m in metrics), "Not a number"),
            *reasons(m.no_interval for m in metrics if m.problem is None),
        ),
    )


def _row(
    method: MeasuredMethod,
    metric: VideoMetric,
    infinite: bool,
    figures: Figures,
    axis: Axis,
    styles: dict[str, str],
) -> Row:
    return Row(
        name=words(method.name),
        note=_note(method),
        value="NaN" if metric.value is None else figures.number(metric.value),
        interval=figures.interval(metric.ci95),
        whisker=axis.whisker(metric.value, metric.ci95),
        cells=(Cell(figures.number(metric.at_infinity)),) if infinite else (),
        style=f"{styles[method.name]}{' leading' if styles[method.name] == 'model' else ''}",
    )


def _note(method: MeasuredMethod) -> str:
    if method.role != "method":
        return method.role
    return "" if method.steps is None else count(method.steps, "step")


def _counts(metric: VideoMetric) -> str:
    text = f"n = {count(metric.n_clips, 'clip')} of {count(metric.n_logs, 'log')}"
    if metric.n_rows is not None:
        text += f", {count(metric.n_rows, 'feature vector')}"
    if metric.n_reference_clips:
        text += (
            f"; reference: {count(metric.n_reference_clips, 'clip')} of {count(metric.n_reference_logs, 'other log')}"
        )
    return f"{text}."


def pair_tables(group: GenerationGroup) -> tuple[list[Table], list[Table]]:
    """Paired differences on the same clips: of the leading method in what to look at first, and all others."""
    leading, (first, _) = leading_method(group), metric_ids(group)
    pairs = [(m.name == leading and pair.name in first, pair) for m in group.methods for pair in _pairs(m)]
    shown = _pair_table("Paired differences on the same clips", [pair for top, pair in pairs if top])
    more = _pair_table("Further paired differences", [pair for top, pair in pairs if not top])
    return shown, more


def _pair_table(title: str, pairs: Sequence[Pair]) -> list[Table]:
    return [Table(title=title, heads=("metric", "difference", "verdict"), rows=pair_rows(pairs))] if pairs else []


def _pairs(method: MeasuredMethod) -> Iterator[Pair]:
    for metric in method.metrics:
        for other, found in metric.against.items():
            yield Pair(
                name=metric.id,
                unit=metric.unit,
                direction=metric.direction,
                difference=found.difference,
                ci95=found.ci95,
                note=f"{words(method.name)} less {words(other)}",
            )


def time_chart(group: GenerationGroup) -> Chart | None:
    """PSNR over the time from the given frame, a line a method."""
    return chart(
        Labels("PSNR by time, dB", "seconds from the given frame"),
        [
            Series(words(name), style, tuple(Point(at.time_s, at.value) for at in metric.by_time))
            for name, style, metric in _of_methods(group, VIDEO_PSNR.id)
        ],
    )


def clip_chart(group: GenerationGroup) -> Chart | None:
    """PSNR of every clip: the leading method beside the repeated frame, from the worst clip to the best."""
    leading = leading_method(group)
    metric = None if leading is None else group.metric(leading, VIDEO_PSNR.id)
    if metric is None:
        return None
    order = {c.sample_id: i for i, c in enumerate(sorted(metric.per_clip, key=lambda c: (c.value, c.sample_id)))}
    shown = [found for found in _of_methods(group, VIDEO_PSNR.id) if found[0] in (leading, REPEAT, TOKENIZER)]
    series = [
        Series(
            words(name),
            style,
            tuple(Point(order[c.sample_id], c.value, name=f"{c.sample_id}: {c.value:.2f} dB") for c in found.per_clip),
            line=False,
        )
        for name, style, found in shown
    ]
    return chart(
        Labels("PSNR by clip, dB", f"{count(len(order), 'clip')}, from the worst to the best", numbered=False), series
    )


def drift_charts(group: GenerationGroup, rate_hz: float) -> list[Chart]:
    """A chart a metric over the windows of long videos; empty where videos are of one window."""
    windows = [window for method in group.methods for window in method.windows]
    ids = list(dict.fromkeys(metric.id for window in windows for metric in window.metrics))
    return [found for metric_id in ids if (found := _drift_chart(group, metric_id, rate_hz)) is not None]


def _drift_chart(group: GenerationGroup, metric_id: str, rate_hz: float) -> Chart | None:
    styles, series = method_styles(group), []
    for method in group.methods:
        points = []
        for window in method.windows:
            metric = next((m for m in window.metrics if m.id == metric_id and m.value is not None), None)
            if metric is not None and metric.value is not None:
                low, high = (None, None) if metric.ci95 is None else (metric.ci95.low, metric.ci95.high)
                name = f"{words(method.name)}, frames {window.first} to {window.last}: {metric.value:.4g}"
                points.append(Point((window.first + window.last) / 2 / rate_hz, metric.value, low, high, name))
        series.append(Series(words(method.name), styles[method.name], tuple(points)))
    return chart(Labels(f"Drift of {metric_id}", "seconds from the given frame, middle of the window"), series)


def _of_methods(group: GenerationGroup, metric_id: str) -> Iterator[tuple[str, str, VideoMetric]]:
    """Methods with this metric, the leading one last: it is drawn over the others."""
    styles = method_styles(group)
    for name in sorted(styles, key=lambda name: styles[name] == "model"):
        metric = group.metric(name, metric_id)
        if metric is not None and metric.value is not None:
            yield name, styles[name], metric
