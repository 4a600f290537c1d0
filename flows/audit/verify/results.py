"""What a run came to: the model by its parts, the report, the verdict on the data, and the gate's decision, anew."""

from dataclasses import dataclass
from typing import Any

from evaluation.base import fingerprint
from evaluation.decision import DECISION_SCHEMA, INPUTS_SCHEMA, GateInputs
from evaluation.gate import decide
from evaluation.gate_config import GateLimits
from flows.audit.verify.runs import Run, Shelf, read_run
from flows.audit.verify.tally import Tally, shown
from flows.bundle import PARTS, bundle_of
from flows.lineage.records import DECISION, ENVIRONMENT, GATE_INPUTS, MANIFEST, PARAMS, stage_record
from flows.lineage.surroundings import gate_code

GATE = "gate"  # section of params.yaml
REPORT, VERDICT = stage_record("evaluate", "report.json"), stage_record("validate", "verdict.json")


@dataclass(frozen=True)
class Decided:
    """A decision of the gate that is what its run's statement says it is."""

    sha256: str
    verdict: str
    candidate: str | None
    champion: str | None


def check_results(runs: list[Run], shelf: Shelf, tally: Tally) -> dict[str, Decided]:
    """Every run's results; returns the decisions that hold, by run."""
    decided = {}
    for run in runs:
        if run.statement.facts.model_sha256 is not None:
            tally.attempt("model/unreadable", run.where, _check_model, run, shelf, tally)
        found = tally.attempt("decision/unreadable", run.where, _check_decision, run, shelf, tally)
        if found is not None:
            decided[run.statement.run_id] = found
    return decided


def _check_model(run: Run, shelf: Shelf, tally: Tally) -> None:
    """The bundle's digest follows from the manifests of its parts, and the data it learnt from were judged."""
    names = {part.stage: stage_record(part.stage, MANIFEST) for part in PARTS}
    if any(shelf.broken(run.statement, name) for name in names.values()):
        return
    manifests = {stage: shelf.json(run.statement, name) for stage, name in names.items()}
    files = {stage: {} if manifest is None else manifest["files"] for stage, manifest in manifests.items()}
    parts, sha256 = bundle_of(files)
    facts = run.statement.facts
    tally.same("model/changed", run.where, f"digest of {facts.model} by its parts", sha256, facts.model_sha256)
    for name in sorted({*parts, *facts.parts}):
        tally.same("model/changed", run.where, f"weights of {name}", parts.get(name), facts.parts.get(name))
    if shelf.broken(run.statement, VERDICT):
        return
    verdict = read_run(run, shelf, VERDICT, tally)
    if verdict is not None and not isinstance(verdict, dict):
        tally.found("record/unreadable", f"{run.where}: {VERDICT}", f"not a verdict: {shown(verdict)}")


def _check_decision(run: Run, shelf: Shelf, tally: Tally) -> Decided | None:
    facts, statement = run.statement.facts, run.statement
    if facts.decision_sha256 is None and DECISION not in statement.files:
        return None
    if shelf.broken(statement, DECISION):
        return None
    decision = read_run(run, shelf, DECISION, tally)
    if decision is None:
        return None
    sha256, where = fingerprint(decision), f"{run.where}: {DECISION}"
    held = tally.same("decision/changed", where, "fingerprint of the decision", facts.decision_sha256, sha256)
    held &= tally.same("decision/changed", where, "verdict", facts.verdict, decision["verdict"])
    _check_reports(run, shelf, decision, tally)
    _check_again(run, shelf, decision, tally)
    evidence = decision["evidence"] or {}
    found = Decided(sha256, decision["verdict"], evidence.get("candidate_sha256"), evidence.get("champion_sha256"))
    if facts.model_sha256 is not None and decision["evidence"] is not None:
        held &= tally.same("decision/other-model", where, "the candidate", facts.model_sha256, found.candidate)
    return found if held else None


def _check_reports(run: Run, shelf: Shelf, decision: Any, tally: Tally) -> None:
    """The report that was decided on is the one that the run's evaluation left."""
    if shelf.broken(run.statement, REPORT) or decision["report_sha256"] is None:
        return
    report = read_run(run, shelf, REPORT, tally)
    if report is not None:
        where = f"{run.where}: {REPORT}"
        tally.same("report/changed", where, "fingerprint of the report", decision["report_sha256"], fingerprint(report))


def _check_again(run: Run, shelf: Shelf, decision: Any, tally: Tally) -> None:
    """The gate, asked again about what it was given, decides the same, rule by rule."""
    where = f"{run.where}: {GATE_INPUTS}"
    if shelf.broken(run.statement, GATE_INPUTS):
        return
    raw = read_run(run, shelf, GATE_INPUTS, tally)
    if raw is None:
        return
    if (decision["schema_version"], raw["schema_version"]) != (DECISION_SCHEMA, INPUTS_SCHEMA):
        tally.note(where, f"decided by another version ({decision['schema_version']}): not decided again")
        return
    surroundings = read_run(run, shelf, ENVIRONMENT, tally) if ENVIRONMENT in run.statement.files else None
    if (surroundings or {}).get("gate", gate_code()) != gate_code():
        tally.note(where, "decided by rules of another version of the code: not decided again")
        return
    inputs = GateInputs.model_validate(raw)
    _check_limits(run, shelf, inputs.limits, tally)
    again = decide(inputs).model_dump(mode="json")
    tally.count += 1
    if again == decision:
        return
    rules = {rule["id"]: rule for rule in again["rules"]}
    differ = [rule["id"] for rule in decision["rules"] if rules.get(rule["id"]) != rule]
    told = ", ".join(differ[:5]) or f"{decision['verdict']} became {again['verdict']}"
    tally.found("decision/not-reproduced", where, f"the same inputs are decided otherwise now: {told}")


def _check_limits(run: Run, shelf: Shelf, limits: GateLimits, tally: Tally) -> None:
    """The gate was given the limits of the run's own params."""
    params = tally.attempt("record/unreadable", f"{run.where}: {PARAMS}", shelf.yaml, run.statement, PARAMS)
    if isinstance(params, dict) and GATE in params:
        stated = GateLimits.model_validate(params[GATE])
        tally.same("decision/other-limits", f"{run.where}: {GATE_INPUTS}", "limits of the gate", stated, limits)
