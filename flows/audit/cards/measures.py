"""Every number of a report as one flat list, for cards."""

from collections.abc import Iterator

from evaluation.generation_report import GenerationGroup, MeasuredMethod, VideoMetric
from evaluation.report import Group, Metric, Report
from flows.audit.cards.schema import Measure

RECONSTRUCTION = "reconstruction"


def measures(report: Report) -> Iterator[Measure]:
    """Values over whole groups: reconstruction by source, split and region, then generation by method as well."""
    for group in report.groups:
        for metric in group.metrics:
            yield _reconstructed(group, metric)
    for generated in report.generation:
        for method in generated.methods:
            for video in method.metrics:
                yield _generated(generated, method, video)


def _reconstructed(group: Group, metric: Metric) -> Measure:
    return Measure(
        of=RECONSTRUCTION,
        role="method",
        source=group.source,
        split=group.split,
        same_log=group.same_log,
        metric=metric.id,
        region=metric.region,
        unit=metric.unit,
        direction=metric.direction,
        value=metric.value,
        ci95=metric.ci95,
        n_clips=metric.n_clips,
        n_logs=metric.n_logs,
        n_reference_clips=0,
        baselines={name: baseline.value for name, baseline in sorted(metric.baselines.items())},
        note=_note(metric.problem, metric.no_interval),
    )


def _generated(group: GenerationGroup, method: MeasuredMethod, metric: VideoMetric) -> Measure:
    others = {name: other for name in sorted(metric.against) if (other := group.metric(name, metric.id)) is not None}
    return Measure(
        of=method.name,
        role=method.role,
        source=group.source,
        split=group.split,
        same_log=group.same_log,
        metric=metric.id,
        region="all",
        unit=metric.unit,
        direction=metric.direction,
        value=metric.value,
        ci95=metric.ci95,
        n_clips=metric.n_clips,
        n_logs=metric.n_logs,
        n_reference_clips=metric.n_reference_clips,
        baselines={name: other.value for name, other in others.items() if other.value is not None},
        note=_note(metric.problem, metric.no_interval),
    )


def _note(problem: str | None, no_interval: str | None) -> str:
    return "; ".join(text for text in (problem, no_interval and f"no interval: {no_interval}") if text)
