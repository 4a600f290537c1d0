"""The gate: whether a measured model may serve, and why, as a pure function of reports, evidence and limits.

`decide` is total: it returns a decision for whatever it is given, and never raises. A model is promoted only when every
rule passes. What is missing, NaN, not applicable, contradictory, of another model, under another protocol or measured
on other data never passes. Standard library and pydantic only, no IO. The rules are in `gate_evidence` (may the numbers
be judged at all?) and `gate_rules` (are they good enough?).
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from evaluation import gate_evidence as known
from evaluation import gate_rules as rules
from evaluation.base import Record, fingerprint
from evaluation.decision import Decision, GateInputs, Rule
from evaluation.gate_config import AbsoluteLimit, GateLimits, GenerationLimit, Limit, SliceLimit
from evaluation.gate_rules import Absent, Case, judge
from evaluation.report import Report

AnyLimit = TypeVar("AnyLimit", bound=Limit)


def decide(inputs: GateInputs) -> Decision:
    """The decision about the candidate that `inputs` are about."""
    try:
        inputs = GateInputs.model_validate(inputs.model_dump(mode="json", warnings=False))
    except ValueError as error:
        sentence = f"the gate's inputs do not hold together: {error}"[:500]
        return _decision(None, (Rule(id="inputs", verdict="fail", sentence=sentence),))
    return _decision(inputs, tuple(_rules(inputs)))


def _decision(inputs: GateInputs | None, found: tuple[Rule, ...]) -> Decision:
    stopped = [rule.id for rule in found if rule.verdict != "pass"]
    if inputs is not None and inputs.evidence.candidate_sha256 == inputs.evidence.champion_sha256:
        verdict, summary, found = "already_champion", "this very model is the champion; there is nothing to decide", ()
    elif stopped or not found:
        verdict = "refuse"
        summary = f"refused: {len(stopped)} of {len(found)} rules do not pass ({', '.join(stopped)})"
    else:
        verdict, summary = "promote", f"promoted: all {len(found)} rules pass"
    return Decision.model_validate(
        {
            "verdict": verdict,
            "summary": summary,
            "evidence": inputs and inputs.evidence,
            "limits": inputs and inputs.limits,
            "report_sha256": _sha256(inputs and inputs.report),
            "champion_report_sha256": _sha256(inputs and inputs.champion_report),
            "comparison_sha256": _sha256(inputs and inputs.comparison),
            "rules": found,
        }
    )


def _rules(inputs: GateInputs) -> Iterator[Rule]:
    report, evidence, limits = inputs.report, inputs.evidence, inputs.limits
    yield judge("evidence/code", known.code, evidence, limits)
    yield judge("evidence/validation", known.validation, evidence)
    yield judge("evidence/splits", known.splits, evidence)
    yield judge("evidence/manifests", known.manifests, evidence, limits)
    yield from (judge(f"budget/{one.measure}", known.budget, one, evidence, limits) for one in limits.budgets)
    yield judge("report/model", known.model, report, evidence)
    if report is not None:
        yield judge("report/protocol", known.protocol, report, limits)
        yield judge("report/data", known.data, report, evidence)
        yield judge("report/weights", known.weights, report, limits)
        champion = list(_champion_rules(inputs, report))
        yield from champion
        stopped = next((rule.sentence for rule in champion if rule.verdict != "pass"), None)
        case = Case(report, inputs.champion_report, inputs.comparison, limits.preset.split, stopped)
        prepared = () if evidence.data is None else evidence.data.sources
        yield from _number_rules(case, limits, sorted({*prepared, *(source.name for source in report.data.sources)}))


def _champion_rules(inputs: GateInputs, report: Report) -> Iterator[Rule]:
    theirs, comparison = inputs.champion_report, inputs.comparison
    yield judge("champion/report", known.champion_report, inputs.evidence, theirs, comparison)
    if theirs is not None:
        yield judge("champion/comparable", known.champion_comparable, report, theirs, comparison)


def _number_rules(case: Case, limits: GateLimits, sources: list[str]) -> Iterator[Rule]:
    def each(wanted: Iterable[AnyLimit]) -> Iterator[tuple[AnyLimit, str, str]]:
        """Every limit with each source that it is on, and both in words."""
        for limit in wanted:
            for source in sources if limit.source is None else [limit.source]:
                yield limit, source, f"{source}/{limit.what}"

    for videos in sorted({limit.method is not None for limit in limits.limits}):
        for source in sources:
            name = f"coverage/{source}/{'videos' if videos else 'reconstruction'}"
            yield judge(name, rules.coverage, case, videos, source)
    for limit, source, name in each(limits.absolute):
        yield judge(f"absolute/{name}/{_bounded(limit)}", rules.bound, case, limit, source)
    for margin, source, name in each(limits.over_baseline):
        yield judge(f"baseline/{name}/{margin.baseline}", rules.over_baseline, case, margin, source)
    for wanted, source, name in each(limits.generation):
        find = rules.bound if wanted.better_than is None else rules.over_baseline
        yield judge(f"generation/{name}/{wanted.better_than or _bounded(wanted)}", find, case, wanted, source)
    for drop, source, name in each(limits.against_champion):
        yield judge(f"champion/{name}", rules.against_champion, case, drop, source)
    for part, source, name in each(limits.slices):
        yield from _slice_rules(case, part, source, name)


def _slice_rules(case: Case, limit: SliceLimit, source: str, name: str) -> Iterator[Rule]:
    asked = _bounded(limit) if limit.max_drop is None else "champion"
    try:
        slices = rules.slices_of(case.report, limit, source, case.split)
    except Absent as absent:
        yield Rule(id=f"slice/{name}/{limit.slice}/{asked}", verdict=absent.verdict, sentence=str(absent))
        return
    find = rules.bound if limit.max_drop is None else rules.against_champion
    yield from (judge(f"slice/{name}/{part}/{asked}", find, case, limit, source, part) for part in slices)


def _bounded(limit: AbsoluteLimit | GenerationLimit | SliceLimit) -> str:
    return "max" if limit.min is None else "min"


def _sha256(record: Record | None) -> str | None:
    return None if record is None else fingerprint(record)
