"""From curves and features of one group of clips to its part of the report: every method with its comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.base import Interval
from evaluation.generation.distances import Pair, distance_of
from evaluation.generation.psnr import Curve, psnr_metric
from evaluation.generation.rollouts import RolloutMethod, RolloutSample
from evaluation.generation.words import comparison_sentence, group_sentence
from evaluation.generation_report import (
    REPEAT,
    STUDENT,
    TEACHER,
    TOKENIZER,
    TRUE_FRAMES,
    UNDISTILLED,
    Comparison,
    GenerationGroup,
    MeasuredMethod,
    Role,
    VideoMetric,
)
from evaluation.grouping import interval_over_logs
from evaluation.metrics.catalogue import VIDEO_METRICS, VIDEO_PSNR, MetricSpec
from evaluation.metrics.distance_intervals import difference_interval, distance_interval
from evaluation.report import Statistics
from evaluation.statistics import why_no_interval

# what a training stage is for: each method against what it is to improve on, beside the baseline
COMPARED = {TEACHER: ("bidirectional_causal",), "ode": (UNDISTILLED,), STUDENT: (UNDISTILLED,)}


@dataclass(frozen=True)
class GroupParts:
    """What was read of one group: PSNR curves by method, and feature pairs by metric and method."""

    generated: Sequence[RolloutSample]
    reference: Sequence[RolloutSample]
    methods: Sequence[RolloutMethod]
    curves: Mapping[str, Sequence[Curve]]
    pairs: Mapping[str, Mapping[str, Pair]]
    no_distances: str | None


def assemble(parts: GroupParts, rate_hz: float, statistics: Statistics) -> GenerationGroup:
    """The group's record: floors, then the baseline and the methods in pipeline order."""
    first = parts.generated[0]
    alone = {name: _metrics(name, parts, rate_hz, statistics) for name in _names(parts)}
    known = {method.name: method for method in parts.methods}
    methods = []
    for name, metrics in alone.items():
        compared = tuple(_compared(name, metric, alone, parts, statistics) for metric in metrics.values())
        method = known.get(name)
        role: Role = "floor" if method is None else "baseline" if name == REPEAT else "method"
        methods.append(
            MeasuredMethod(
                name=name,
                role=role,
                steps=None if method is None else method.steps,
                weights_sha256=None if method is None else method.weights_sha256,
                metrics=compared,
            )
        )
    group = GenerationGroup(
        source=first.source,
        split=first.split,
        same_log=first.same_log,
        n_clips=len(parts.generated),
        n_logs=_n_logs(parts.generated),
        n_reference_clips=len(parts.reference),
        n_reference_logs=_n_logs(parts.reference),
        methods=tuple(methods),
        no_distances=parts.no_distances,
        sentence="",
    )
    return group.model_copy(update={"sentence": group_sentence(group)})


def _names(parts: GroupParts) -> list[str]:
    """Methods in the order of the report; the true frames have nothing but distances."""
    floors = [TRUE_FRAMES, TOKENIZER] if parts.pairs else [TOKENIZER]
    return floors + [method.name for method in parts.methods]


def _metrics(name: str, parts: GroupParts, rate_hz: float, statistics: Statistics) -> dict[str, VideoMetric]:
    found = {}
    for spec in VIDEO_METRICS.values():
        if spec is VIDEO_PSNR:
            if name in parts.curves:
                found[spec.id] = psnr_metric(parts.curves[name], rate_hz, statistics)
        elif name in parts.pairs.get(spec.id, {}):
            found[spec.id] = _distance(spec, parts.pairs[spec.id][name])
    return found


def _distance(spec: MetricSpec, pair: Pair) -> VideoMetric:
    found = distance_interval(distance_of(spec), pair.reference, pair.made)
    return VideoMetric(
        id=spec.id,
        unit=spec.unit,
        direction=spec.direction,
        value=found.value,
        n_clips=len(pair.made.logs),
        n_logs=len(set(pair.made.logs)),
        n_reference_clips=len(pair.reference.logs),
        n_reference_logs=len(set(pair.reference.logs)),
        ci95=_interval(found.ci95),
        no_interval=found.no_interval,
    )


def _compared(
    name: str,
    metric: VideoMetric,
    alone: Mapping[str, Mapping[str, VideoMetric]],
    parts: GroupParts,
    statistics: Statistics,
) -> VideoMetric:
    """The metric with its comparisons: to the baseline, and to what the method is to improve on."""
    if name in (REPEAT, TOKENIZER, TRUE_FRAMES) or metric.value is None:
        return metric
    against = {}
    for other in (REPEAT, *COMPARED.get(name, ())):
        theirs = alone.get(other, {}).get(metric.id)
        if theirs is None or theirs.value is None:
            continue
        interval, why = _paired(name, other, metric, parts, statistics)
        difference = metric.value - theirs.value
        sentence = comparison_sentence((name, other), metric, difference, interval, why)
        against[other] = Comparison(difference=difference, ci95=interval, no_interval=why, sentence=sentence)
    return metric.model_copy(update={"against": against})


def _paired(
    name: str, other: str, metric: VideoMetric, parts: GroupParts, statistics: Statistics
) -> tuple[Interval | None, str | None]:
    """The interval of a paired difference, or why there is none."""
    if metric.id != VIDEO_PSNR.id:
        ours, theirs = parts.pairs[metric.id][name], parts.pairs[metric.id][other]
        distance = distance_of(VIDEO_METRICS[metric.id])
        found = difference_interval(distance, ours.reference, ours.made, theirs.made.values)
        return _interval(found.ci95), found.no_interval
    curves = zip(parts.curves[name], parts.curves[other], strict=True)
    differences, logs = [a.mean - b.mean for a, b in curves], [sample.log_id for sample in parts.generated]
    return interval_over_logs(differences, logs, statistics), why_no_interval(logs)


def _interval(found: tuple[float, float] | None) -> Interval | None:
    return None if found is None else Interval(low=found[0], high=found[1])


def _n_logs(samples: Sequence[RolloutSample]) -> int:
    return len({sample.log_id for sample in samples})
