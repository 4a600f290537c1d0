"""The gate's rules about generated videos: pure, total, and failing closed like the others.

A model must beat what it is measured against with an interval that leaves out zero; without an interval it does not
pass. Standard library and pydantic only.
"""

from collections.abc import Sequence

from evaluation.config import GateLimits, GenerationLimit
from evaluation.decision import Rule
from evaluation.gate_rules import Absent, absent_rule, better, bound_rule, number_rule, say
from evaluation.generation_report import GenerationGroup, VideoMetric
from evaluation.report import Report


def generation_rules(report: Report, limits: GateLimits, sources: Sequence[str]) -> list[Rule]:
    """Coverage of every source, then every limit; none where the limits do not judge generated videos."""
    if not limits.generation:
        return []
    rules = [_coverage(report, limits, source) for source in sources]
    for limit in limits.generation:
        for source in sources if limit.source is None else (limit.source,):
            rules.append(_limit(report, limit, source, limits.split))
    return rules


def measured_video(report: Report, method: str, metric_id: str, source: str, split: str) -> VideoMetric | Absent:
    """The metric of a method's generated videos, or why it is absent."""
    group = _held_out(report, source, split)
    if isinstance(group, Absent):
        return group
    metric, name = group.metric(method, metric_id), f"{metric_id} of {method} on {source}"
    if metric is None and group.no_distances is not None:
        return Absent(verdict="not_applicable", reason=f"{name} was not measured: {group.no_distances}")
    if metric is None:
        return Absent(verdict="missing", reason=f"{name} was not measured")
    if metric.value is None:
        return Absent(verdict="missing", reason=f"{name} has no value: {metric.problem}")
    return metric


def _held_out(report: Report, source: str, split: str) -> GenerationGroup | Absent:
    group = report.generated(source, split)
    if group is not None:
        return group
    if any(g.source == source and g.same_log for g in report.generation):
        reason = f"videos of {source} were generated only from logs that training saw (same log)"
    else:
        reason = f"no video was generated from a {split} clip of {source}{_why_not(report, source)}"
    return Absent(verdict="not_applicable", reason=reason)


def _why_not(report: Report, source: str) -> str:
    """What the report says of videos of a source, or of all, not being generated."""
    entries = [entry for entry in report.not_applicable if entry.stage == "rollout" and entry.source in (None, source)]
    reasons = dict.fromkeys(entry.reason for entry in entries)
    return f": {'; '.join(reasons)}" if reasons else ""


def _coverage(report: Report, limits: GateLimits, source: str) -> Rule:
    """Whether a source's held-out logs were measured, with every metric that a limit names for it."""
    name, group = f"coverage/{source}/generation", _held_out(report, source, limits.split)
    if isinstance(group, Absent):
        return absent_rule(name, None, group)
    for limit in limits.generation:
        if limit.source in (None, source):
            found = measured_video(report, limit.method, limit.metric, source, limits.split)
            if isinstance(found, Absent):
                return absent_rule(name, None, found)
    text = f"videos from {group.n_clips} {limits.split} clips of {group.n_logs} held-out logs of {source} were measured"
    return Rule(id=name, verdict="pass", sentence=text)


def _limit(report: Report, limit: GenerationLimit, source: str, split: str) -> Rule:
    name = f"generation/{source}/{limit.method}/{limit.metric}"
    metric = measured_video(report, limit.method, limit.metric, source, split)
    if limit.better_than is None:
        return bound_rule(name, (limit.min, limit.max), metric, (f"{limit.method}'s {limit.metric}", source))
    name, other = f"{name}/{limit.better_than}", limit.better_than
    if isinstance(metric, Absent):
        return absent_rule(name, limit.margin, metric)
    comparison = metric.against.get(other)
    if comparison is None:
        reason = f"{limit.metric} of {limit.method} on {source} was not compared with {other}"
        return absent_rule(name, limit.margin, Absent(verdict="missing", reason=reason))
    if comparison.ci95 is None:
        reason = f"the difference to {other} on {source} has no interval: {comparison.no_interval}"
        return absent_rule(name, limit.margin, Absent(verdict="missing", reason=reason))
    gain, interval = better(comparison.difference, metric), comparison.ci95
    worst = min(better(interval.low, metric), better(interval.high, metric))
    sentence = (
        f"{limit.metric} of {limit.method} on {source} is {say(gain, metric, '+')} better than {other} "
        f"(95 % interval from {say(worst, metric, '+')}), and must be {say(limit.margin, metric, '+')} better, surely "
        "above 0"
    )
    return number_rule(name, limit.margin, gain, metric, gain >= limit.margin and worst > 0, sentence)
