"""The gate's second question: whether the numbers are good enough. One function a kind of limit, each pure.

A number that is not there is raised as `Absent`, which `judge` turns into a rule that does not pass. Standard library
and pydantic only.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

from evaluation.base import Interval, close
from evaluation.comparison import Comparison, difference_name
from evaluation.decision import Rule, RuleVerdict
from evaluation.gate_config import (
    AbsoluteLimit,
    BaselineMargin,
    ChampionMargin,
    GenerationLimit,
    Limit,
    SliceLimit,
)
from evaluation.generation_report import GenerationGroup, VideoMetric
from evaluation.report import Group, Metric, Report
from evaluation.slice_value import SliceValue

Value = Metric | VideoMetric | SliceValue
Args = ParamSpec("Args")


class Absent(Exception):
    """A number that a rule needs and does not get."""

    def __init__(self, reason: str, verdict: RuleVerdict = "missing") -> None:
        super().__init__(reason)
        self.verdict = verdict


@dataclass(frozen=True)
class Finding:
    """What a rule found: whether it `holds`, in words, with the limit, the number and its interval."""

    holds: bool
    sentence: str
    limit: float | None = None
    observed: float | None = None
    ci95: Interval | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Case:
    """What is judged, on the clips of `split` alone; `champion` and `comparison` are null where none serves.

    `incomparable` says why the champion's numbers may not be held against the candidate's; None: they may.
    """

    report: Report
    champion: Report | None
    comparison: Comparison | None
    split: str
    incomparable: str | None


def judge(name: str, find: Callable[Args, Finding], *args: Args.args, **kwargs: Args.kwargs) -> Rule:
    """The rule of this name, from what `find` finds or misses."""
    try:
        found = find(*args, **kwargs)
    except Absent as absent:
        return Rule(id=name, verdict=absent.verdict, sentence=str(absent))
    return Rule(
        id=name,
        limit=found.limit,
        observed=found.observed,
        ci95=found.ci95,
        unit=found.unit,
        verdict="pass" if found.holds else "fail",
        sentence=found.sentence,
    )


def coverage(case: Case, videos: bool, source: str) -> Finding:
    """Held-out logs of the source were measured."""
    group, what = _group(case.report, videos, source, case.split), "videos of " if videos else ""
    text = f"{what}{group.n_clips} {case.split} clips of {group.n_logs} held-out logs of {source} were measured"
    return Finding(group.n_clips > 0 and group.n_logs > 0, text)


def bound(
    case: Case, limit: AbsoluteLimit | GenerationLimit | SliceLimit, source: str, part: str | None = None
) -> Finding:
    """The value itself, of all clips or of a slice, is within its bound."""
    metric, value = _value(case.report, limit, source, case.split, part)
    low, high = limit.min, limit.max
    holds = (low is None or value >= low) and (high is None or value <= high)
    wanted = low if high is None else high
    words = f"{'at least' if high is None else 'at most'} {_say(wanted or 0.0, metric)}"
    sentence = f"{_place(limit, source, part)} is {_say(value, metric)}, and must be {words}"
    return Finding(holds, sentence, wanted, value, metric.ci95, metric.unit)


def over_baseline(case: Case, limit: BaselineMargin | GenerationLimit, source: str) -> Finding:
    """The metric is better than a baseline's by the margin, and its interval leaves out zero."""
    metric, _ = _value(case.report, limit, source, case.split)
    other = str(limit.better_than if isinstance(limit, GenerationLimit) else limit.baseline)
    if isinstance(metric, Metric) and other in metric.baselines:
        difference, ci95 = metric.baselines[other].difference, metric.baselines[other].difference_ci95
    elif isinstance(metric, VideoMetric) and other in metric.against:
        difference, ci95 = metric.against[other].difference, metric.against[other].ci95
    else:
        raise Absent(f"{_place(limit, source)} was not compared with {other}")
    if ci95 is None:
        raise Absent(f"{_place(limit, source)} was compared with {other} without an interval: nothing is sure")
    up = metric.direction == "up"
    gain, worst = (difference, ci95.low) if up else (-difference, -ci95.high)
    sentence = (
        f"{_place(limit, source)} is {_say(gain, metric, '+')} better than {other} (95 % interval from "
        f"{_say(worst, metric, '+')}), and must be {_say(limit.margin, metric, '+')} better, surely above 0"
    )
    return Finding(gain >= limit.margin and worst > 0, sentence, limit.margin, gain, ci95, metric.unit)


def against_champion(case: Case, limit: ChampionMargin | SliceLimit, source: str, part: str | None = None) -> Finding:
    """No more is lost against the champion, on the same clips, than the limit tolerates."""
    if case.incomparable is not None:
        raise Absent(f"not compared: {case.incomparable}")
    if case.champion is None or case.comparison is None:
        return Finding(True, "no champion yet")
    metric, ours = _value(case.report, limit, source, case.split, part)
    theirs = _value(case.champion, limit, source, case.split, part)[1]
    name = difference_name(source, case.split, limit.metric, limit.region, limit.method, part)
    found = case.comparison.find(name)
    if isinstance(found, str):
        raise Absent(f"not compared: {found}")
    if not (close(found.challenger, ours) and close(found.champion, theirs)):
        raise Absent(f"the comparison of {name} has other values than the reports")
    lowest, worst = 0.0 - (limit.max_drop or 0.0), found.worst
    if limit.judge == "value":
        holds, words = found.gain >= lowest, "not be below"
    elif worst is None:
        raise Absent(f"{name} has no interval: {found.no_interval}")
    else:
        holds, words = worst >= lowest, "surely not be below"
    sure = "" if worst is None else f", 95 % interval from {_say(worst, metric, '+')}"
    sentence = (
        f"{_place(limit, source, part)} is {_say(found.gain, metric, '+')} against the champion's "
        f"{_say(theirs, metric)} ({found.verdict}{sure}), and must {words} {_say(lowest, metric, '+')}"
    )
    return Finding(holds, sentence, lowest, found.gain, found.ci95, found.unit)


def slices_of(report: Report, limit: SliceLimit, source: str, split: str) -> list[str]:
    """The slices that a limit asks about: the one it names, or those of its dimension that have clips enough."""
    if "=" in limit.slice:
        return [limit.slice]
    clips = [c for c in report.clips if (c.source, c.split, c.same_log) == (source, split, False)]
    if limit.slice == "camera":
        facts = report.protocol.sources.get(source)
        counts = Counter(dict.fromkeys(facts.cameras if facts else (), len(clips)))
    else:
        counts = Counter(clip.slices.get(limit.slice, "") for clip in clips)
        if "" in counts:
            raise Absent(f"{counts['']} of {len(clips)} clips of {source} do not say their {limit.slice}")
    enough = [f"{limit.slice}={value}" for value, n in sorted(counts.items()) if n >= limit.min_clips]
    if not enough:
        raise Absent(f"no {limit.slice} has {limit.min_clips} clips of {source}")
    return enough


def _value(report: Report, limit: Limit, source: str, split: str, part: str | None = None) -> tuple[Value, float]:
    """The number that a limit is about, of all clips or of a slice."""
    group, name = _group(report, limit.method is not None, source, split), _place(limit, source, part)
    found: Value | None
    if part is not None:
        keys = (part, limit.metric, limit.method)
        found = next((s for s in group.slices if (s.slice, s.metric, s.method) == keys), None)
    elif isinstance(group, Group):
        found = group.metric(limit.metric, limit.region)
    else:
        found = group.metric(limit.method or "", limit.metric)
        if found is None and group.no_distances is not None:
            raise Absent(f"{name} was not measured: {group.no_distances}", "not_applicable")
    if found is None:
        raise Absent(f"{name} was not measured")
    if found.value is None:
        raise Absent(f"{name} has no value: {found.problem}")
    wanted = limit.min_clips if isinstance(limit, SliceLimit) else group.n_clips if limit.region == "all" else 1
    if found.n_clips < wanted:
        raise Absent(f"{name} is of {found.n_clips} clips, and must be of {wanted}")
    return found, found.value


def _group(report: Report, videos: bool, source: str, split: str) -> Group | GenerationGroup:
    """The held-out clips of a source."""
    group = report.generated(source, split) if videos else report.group(source, split)
    if group is not None:
        return group
    groups: tuple[Group | GenerationGroup, ...] = report.generation if videos else report.groups
    if any(g.source == source and g.same_log for g in groups):
        reason = f"{source} was measured only on logs that training saw (same log), which says nothing of unseen logs"
        raise Absent(reason, "not_applicable")
    stage, made = ("rollout", "video was generated") if videos else ("reconstruct", "reconstruction was measured")
    found = [entry.reason for entry in report.not_applicable if entry.stage == stage and entry.source in (None, source)]
    reasons = f": {'; '.join(dict.fromkeys(found))}" if found else ""
    raise Absent(f"no {made} of a {split} clip of {source}{reasons}", "not_applicable" if found else "missing")


def _place(limit: Limit, source: str, part: str | None = None) -> str:
    return f"{limit.what} on {source}" + (f", {part}," if part else "")


def _say(value: float, metric: Value, sign: str = "-") -> str:
    """A value with its unit."""
    unit = "" if metric.unit == "1" else f" {metric.unit}"
    return f"{value:{sign}z.{2 if unit else 3}f}{unit}"
