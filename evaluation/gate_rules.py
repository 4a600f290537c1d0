"""How single rules of the gate are made: of numbers, of absent ones, and the words for both."""

import math

from evaluation.base import Record
from evaluation.decision import Rule, RuleVerdict
from evaluation.generation_report import VideoMetric
from evaluation.report import Metric

AnyMetric = Metric | VideoMetric


class Absent(Record):
    """A metric that a rule needs and does not get."""

    verdict: RuleVerdict
    reason: str


def absent_rule(name: str, limit: float | None, found: AnyMetric | Absent, prefix: str = "") -> Rule:
    """The rule whose number is not there."""
    verdict, reason = (found.verdict, found.reason) if isinstance(found, Absent) else ("missing", "no value")
    return Rule(id=name, limit=limit, verdict=verdict, sentence=prefix + reason)


def number_rule(name: str, limit: float, observed: float, metric: AnyMetric, holds: bool, sentence: str) -> Rule:
    """The rule about a number; one that is not finite does not pass."""
    if not math.isfinite(observed):
        return Rule(id=name, limit=limit, verdict="missing", sentence=f"{metric.id}: the difference is not finite")
    verdict: RuleVerdict = "pass" if holds else "fail"
    return Rule(id=name, limit=limit, observed=observed, unit=metric.unit, verdict=verdict, sentence=sentence)


def better(difference: float, metric: AnyMetric) -> float:
    """A difference turned so that positive is better."""
    return difference if metric.direction == "up" else -difference


def say(value: float, metric: AnyMetric, sign: str = "-") -> str:
    """A value with its unit."""
    unit = "" if metric.unit == "1" else f" {metric.unit}"
    return f"{value:{sign}.{2 if unit else 3}f}{unit}"


def bound_rule(
    name: str, bound: tuple[float | None, float | None], metric: AnyMetric | Absent, what: tuple[str, str]
) -> Rule:
    """The value itself, `what` = (metric, source), must be at least `bound[0]` or at most `bound[1]`."""
    limit, above = (bound[0], True) if bound[0] is not None else (bound[1], False)
    name = f"{name}/{'min' if above else 'max'}"
    if isinstance(metric, Absent) or metric.value is None or limit is None:
        return absent_rule(name, limit, metric)
    holds = metric.value >= limit if above else metric.value <= limit
    words = "at least" if above else "at most"
    sentence = f"{what[0]} on {what[1]} is {say(metric.value, metric)}, and must be {words} {say(limit, metric)}"
    return number_rule(name, limit, metric.value, metric, holds, sentence)
