"""The gate: whether a measured model may serve, and why, as a pure function of reports and limits.

`decide` is total: for every valid report, or none, it returns a decision and never raises. A model is promoted only
when every rule passes. What is missing, NaN, not applicable, of another model or measured on other data never passes.
Left out: significance against the champion, slices and required evidence. Standard library and pydantic only, no IO.
"""

from collections.abc import Iterable

from evaluation.base import fingerprint
from evaluation.config import AbsoluteLimit, BaselineMargin, ChampionMargin, GateLimits, Limit
from evaluation.decision import Decision, GateContext, Rule, RuleVerdict, Verdict
from evaluation.gate_rules import Absent, AnyMetric, absent_rule, better, bound_rule, number_rule, say
from evaluation.generation_gate import generation_rules, measured_video
from evaluation.report import Group, Metric, Report


def decide(report: Report | None, champion_report: Report | None, limits: GateLimits, context: GateContext) -> Decision:
    """The decision about the candidate that `report` measured, against the champion's report if there is a champion."""
    if context.candidate_sha256 == context.champion_sha256:
        rules: tuple[Rule, ...] = ()
        verdict, summary = _ALREADY
    else:
        rules = _rules(report, champion_report, limits, context)
        verdict, summary = _verdict(rules)
    return Decision(
        verdict=verdict,
        summary=summary,
        context=context,
        limits=limits,
        report_sha256=None if report is None else fingerprint(report),
        champion_report_sha256=None if champion_report is None else fingerprint(champion_report),
        rules=rules,
    )


_ALREADY: tuple[Verdict, str] = ("already_champion", "this very model is the champion; there is nothing to decide")


def _verdict(rules: tuple[Rule, ...]) -> tuple[Verdict, str]:
    stopped = [rule.id for rule in rules if rule.verdict != "pass"]
    if rules and not stopped:
        return "promote", f"promoted: all {len(rules)} rules pass"
    return "refuse", f"refused: {len(stopped)} of {len(rules)} rules do not pass ({', '.join(stopped)})"


def _rules(
    report: Report | None, champion_report: Report | None, limits: GateLimits, context: GateContext
) -> tuple[Rule, ...]:
    clean = _clean(limits, context)
    if report is None:
        return (clean, Rule(id="report", verdict="missing", sentence="the candidate has no evaluation report"))
    comparable = _comparable(report, champion_report, context)
    champion = None if context.champion_sha256 is None else champion_report
    sources = sorted({source.name for source in report.data.sources} | {group.source for group in report.groups})
    return (
        clean,
        _of_candidate(report, context),
        *_coverage(report, sources, limits.split),
        *(_absolute(report, limit, s, limits.split) for limit in limits.absolute for s in _of(limit, sources)),
        *(
            _over_baseline(report, limit, s, limits.split)
            for limit in limits.over_baseline
            for s in _of(limit, sources)
        ),
        *generation_rules(report, limits, sources),
        comparable,
        *(
            _against_champion(report, champion, limit, s, limits.split, comparable)
            for limit in limits.against_champion
            for s in _of(limit, sources)
        ),
    )


def _of(limit: Limit, sources: Iterable[str]) -> Iterable[str]:
    return sources if limit.source is None else (limit.source,)


def _clean(limits: GateLimits, context: GateContext) -> Rule:
    if not context.dirty:
        return Rule(id="code/clean", verdict="pass", sentence="the code of the run is committed")
    if limits.allow_dirty:
        return Rule(id="code/clean", verdict="pass", sentence="the code holds uncommitted changes; the limits allow it")
    return Rule(id="code/clean", verdict="fail", sentence="the code holds uncommitted changes: commit, and run again")


def _of_candidate(report: Report, context: GateContext) -> Rule:
    same = report.model.sha256 == context.candidate_sha256
    return Rule(
        id="report/model",
        limit=context.candidate_sha256,
        observed=report.model.sha256,
        verdict="pass" if same else "fail",
        sentence="the report measured the candidate" if same else "the report measured another model",
    )


def _coverage(report: Report, sources: list[str], split: str) -> list[Rule]:
    """One rule a source: its held-out logs were measured."""
    if not sources:
        return [Rule(id="coverage", verdict="missing", sentence="the report names no data source")]
    rules = []
    for source in sources:
        group = _held_out(report, source, split)
        if isinstance(group, Absent):
            rules.append(Rule(id=f"coverage/{source}", verdict=group.verdict, sentence=group.reason))
            continue
        text = f"{group.n_clips} {split} clips of {group.n_logs} held-out logs of {source} were measured"
        seen = group.n_clips > 0 and group.n_logs > 0
        rules.append(Rule(id=f"coverage/{source}", verdict="pass" if seen else "missing", sentence=text))
    return rules


def _held_out(report: Report, source: str, split: str) -> Group | Absent:
    group = report.group(source, split)
    if group is not None:
        return group
    if any(g.source == source and g.same_log for g in report.groups):
        reason = f"{source} was measured only on logs that training saw (same log), which says nothing of unseen logs"
        return Absent(verdict="not_applicable", reason=reason)
    nothing, why = f"no reconstruction of a {split} clip of {source} was measured", _why_not(report, source)
    if not why:
        return Absent(verdict="missing", reason=nothing)
    videos = report.generated(source, split)
    also = "" if videos is None else f"; {videos.n_clips} videos generated from its {split} clips were measured"
    return Absent(verdict="not_applicable", reason=f"{nothing}: {why}{also}")


def _why_not(report: Report, source: str) -> str:
    """What the report says of a source, or of all, having nothing reconstructed; empty if it says nothing."""
    entries = [entry for entry in report.not_applicable if entry.stage == "reconstruct"]
    return "; ".join(dict.fromkeys(entry.reason for entry in entries if entry.source in (None, source)))


def _measured(report: Report, limit: Limit, source: str, split: str) -> Metric | Absent:
    group = _held_out(report, source, split)
    if isinstance(group, Absent):
        return group
    metric, name = group.metric(limit.metric, limit.region), _name(limit)
    if metric is None:
        return Absent(verdict="missing", reason=f"{name} was not measured on {source}")
    if metric.value is None:
        return Absent(verdict="missing", reason=f"{name} on {source} has no value: {metric.problem}")
    return metric


def _absolute(report: Report, limit: AbsoluteLimit, source: str, split: str) -> Rule:
    metric = _measured(report, limit, source, split)
    name = f"absolute/{source}/{_name(limit)}"
    return bound_rule(name, (limit.min, limit.max), metric, (_name(limit), source))


def _over_baseline(report: Report, limit: BaselineMargin, source: str, split: str) -> Rule:
    name = f"baseline/{source}/{_name(limit)}/{limit.baseline}"
    metric = _measured(report, limit, source, split)
    if isinstance(metric, Absent):
        return absent_rule(name, limit.margin, metric)
    baseline = metric.baselines.get(limit.baseline)
    if baseline is None:
        reason = f"{limit.baseline} was not measured for {_name(limit)} on {source}"
        return absent_rule(name, limit.margin, Absent(verdict="missing", reason=reason))
    gain, interval = better(baseline.difference, metric), baseline.difference_ci95
    worst = None if interval is None else min(better(interval.low, metric), better(interval.high, metric))
    holds = gain >= limit.margin and (worst is None or worst > 0)
    known = metric.no_interval or "no interval" if worst is None else f"95 % interval from {say(worst, metric, '+')}"
    sentence = (
        f"{_name(limit)} on {source} is {say(gain, metric, '+')} better than {limit.baseline} ({known}), and must be "
        f"{say(limit.margin, metric, '+')} better, surely above 0"
    )
    return number_rule(name, limit.margin, gain, metric, holds, sentence)


def _comparable(report: Report, champion_report: Report | None, context: GateContext) -> Rule:
    """Whether the champion's numbers may be held against the candidate's."""
    verdict: RuleVerdict = "fail"
    if context.champion_sha256 is None:
        verdict, sentence = "pass", "no champion yet"
    elif champion_report is None:
        verdict, sentence = "missing", "the champion's evaluation report is missing, or of another schema version"
    elif champion_report.model.sha256 != context.champion_sha256:
        sentence = "the report given for the champion measured another model"
    elif champion_report.data.sha256 != report.data.sha256:
        sentence = "the champion was measured on other data: evaluate it on this data first"
    elif champion_report.protocol_fingerprint != report.protocol_fingerprint:
        sentence = "the champion was measured under another protocol: evaluate it under this one first"
    else:
        verdict, sentence = "pass", "the champion was measured on the same data under the same protocol"
    return Rule(id="champion/comparable", verdict=verdict, sentence=sentence)


def _against_champion(
    report: Report, champion: Report | None, limit: ChampionMargin, source: str, split: str, comparable: Rule
) -> Rule:
    what = _name(limit) if limit.method is None else f"{limit.method}/{limit.metric}"
    name, bound = f"champion/{source}/{what}", 0.0 - limit.max_drop
    if comparable.verdict != "pass":
        return absent_rule(name, bound, Absent(verdict="missing", reason=f"not compared: {comparable.sentence}"))
    if champion is None:
        return Rule(id=name, limit=bound, verdict="pass", sentence=comparable.sentence)
    ours, theirs = (_of_limit(r, limit, source, split) for r in (report, champion))
    if isinstance(ours, Absent) or ours.value is None:
        return absent_rule(name, bound, ours)
    if isinstance(theirs, Absent) or theirs.value is None:
        return absent_rule(name, bound, theirs, "the champion: ")
    if "-tok@" in limit.metric and report.model.parts.get("tokenizer") != champion.model.parts.get("tokenizer"):
        reason = f"{what} on {source} goes through another tokenizer than the champion's: limit the raw distance"
        return absent_rule(name, bound, Absent(verdict="not_applicable", reason=reason))
    gain = better(ours.value - theirs.value, ours)
    sentence = (
        f"{what} on {source} is {say(gain, ours, '+')} against the champion's {say(theirs.value, ours)}, and "
        f"must not be below {say(bound, ours, '+')}"
    )
    return number_rule(name, bound, gain, ours, gain >= bound, sentence)


def _of_limit(report: Report, limit: ChampionMargin, source: str, split: str) -> AnyMetric | Absent:
    if limit.method is None:
        return _measured(report, limit, source, split)
    return measured_video(report, limit.method, limit.metric, source, split)


def _name(limit: Limit) -> str:
    return limit.metric if limit.region == "all" else f"{limit.metric}[{limit.region}]"
