"""Every method beside the baseline and what it is to improve on: paired differences on the same clips."""

from collections.abc import Mapping

from evaluation.base import Interval
from evaluation.generation.distances import Scored, interval_record
from evaluation.generation.words import comparison_sentence
from evaluation.generation_report import (
    REPEAT,
    STUDENT,
    TEACHER,
    TOKENIZER,
    TRUE_FRAMES,
    UNDISTILLED,
    Comparison,
    VideoMetric,
)
from evaluation.report import Statistics
from evaluation.statistics import interval_over_logs, why_no_interval

# what a training stage is for: each method against what it is to improve on, beside the baseline
COMPARED = {TEACHER: ("bidirectional_causal",), "ode": (UNDISTILLED,), STUDENT: (UNDISTILLED,)}

Scores = Mapping[str, Scored]


def compared(name: str, scored: Scored, all_scores: Mapping[str, Scores], statistics: Statistics) -> VideoMetric:
    """The metric with its comparisons, where both have a value on the same clips; floors and the baseline have none.

    Args:
        name: of the method.
        scored: one of its metrics.
        all_scores: every method's, by metric id.
        statistics: of the intervals of means over clips.
    """
    metric = scored.metric
    if name in (REPEAT, TOKENIZER, TRUE_FRAMES) or metric.value is None:
        return metric
    against = {}
    for other in (REPEAT, *COMPARED.get(name, ())):
        theirs = all_scores.get(other, {}).get(metric.id)
        if theirs is None or theirs.metric.value is None or _clips(theirs.metric) != _clips(metric):
            continue
        interval, why = _paired(scored, theirs, statistics)
        difference = metric.value - theirs.metric.value
        sentence = comparison_sentence((name, other), metric, difference, interval, why)
        against[other] = Comparison(difference=difference, ci95=interval, no_interval=why, sentence=sentence)
    return metric.model_copy(update={"against": against})


def _paired(ours: Scored, theirs: Scored, statistics: Statistics) -> tuple[Interval | None, str | None]:
    """The interval of a paired difference, or why there is none."""
    if ours.replicates is not None and theirs.replicates is not None:
        found = (ours.replicates - theirs.replicates).estimate
        return interval_record(found.ci95), found.no_interval
    pairs = zip(ours.metric.per_clip, theirs.metric.per_clip, strict=True)
    differences, logs = [a.value - b.value for a, b in pairs], [clip.log_id for clip in ours.metric.per_clip]
    return interval_over_logs(differences, logs, statistics), why_no_interval(logs)


def _clips(metric: VideoMetric) -> list[str]:
    return [clip.sample_id for clip in metric.per_clip]
