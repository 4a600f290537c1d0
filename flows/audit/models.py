"""What the books say of a model's run: its facts, the gate's decision, who approved it and what it was flagged for.

Records are read as JSON: a decision of another schema still has a verdict, a summary and rules.
"""

from typing import Any

from evaluation.base import Record, fingerprint
from flows.audit.books import Books, ModelRef, find_model
from flows.ledger.bodies import ChampionFlagged
from flows.ledger.entry import Entry
from flows.ledger.standing import approvals, bodies, registered, standing_flags
from flows.lineage.records import DECISION, RunStatement
from worldmodel.errors import RecordError


class RuleFacts(Record):
    """One rule of the gate: what it asked, what it saw, and what came of it. Numbers are in `unit`."""

    id: str
    verdict: str
    sentence: str
    limit: float | str | None = None
    observed: float | str | None = None
    unit: str | None = None


class DecisionFacts(Record):
    """What the gate decided in a run; `stopped` are rules that do not pass, `sha256` is what the ledger calls it."""

    run_id: str
    schema_version: str
    verdict: str
    summary: str
    sha256: str
    n_rules: int
    stopped: tuple[RuleFacts, ...]


class Approval(Record):
    """Who approved or rejected a model, when and why, under which key; `sequence` is the ledger's."""

    sequence: int
    time: str
    approver: str
    verdict: str
    reason: str
    keyid: str


class Flag(Record):
    """A model was found to have seen recalled data: clips by split. `stands`: the recall was not taken back by then."""

    sequence: int
    time: str
    recalled: str
    splits: dict[str, int]
    stands: bool


def model_of(books: Books, spec: str) -> ModelRef:
    """`find_model`, which says it plainly when there was no model at all at the books' time.

    Raises:
        RecordError: as `find_model`.
    """
    if not registered(books.entries("model.registered")):
        until = "yet" if books.at is None else f"by {books.at[:10]} {books.at[11:19]}Z"
        fix = "worldmodel run" if books.at is None else "ask about a later time: --at TIME; worldmodel audit ledger"
        raise RecordError(f"{spec}: no model was registered {until}", fix=fix)
    return find_model(books, spec)


def run_of(books: Books, run_id: str | None) -> RunStatement | None:
    """The statement of a run; None where it has none (yet), as with a run that is at work."""
    if run_id is None or not books.records.run_path(run_id).is_file():
        return None
    return books.records.run(run_id)


def decision_json(books: Books, run: RunStatement) -> dict[str, Any] | None:
    """A run's decision.json, or None where the gate decided nothing.

    Raises:
        RecordError: it is gone, was altered, or is no decision.
    """
    found = books.records.json(run, DECISION)
    if found is None or (isinstance(found, dict) and {"schema_version", "verdict", "summary", "rules"} <= set(found)):
        return found
    raise RecordError(f"{DECISION} of run {run.run_id}: not a decision", expected="verdict, summary, rules")


def decision_of(books: Books, run_id: str | None) -> DecisionFacts | None:
    """What the gate decided in a run; None where it decided nothing, or the run left no statement. Raises as above."""
    run = run_of(books, run_id)
    found = None if run is None else decision_json(books, run)
    if run is None or found is None:
        return None
    return DecisionFacts(
        run_id=run.run_id,
        schema_version=str(found["schema_version"]),
        verdict=str(found["verdict"]),
        summary=str(found["summary"]),
        sha256=fingerprint(found),
        n_rules=len(found["rules"]),
        stopped=tuple(rule_facts(rule) for rule in found["rules"] if rule["verdict"] != "pass"),
    )


def rule_facts(rule: dict[str, Any]) -> RuleFacts:
    """A rule of decision.json, without its interval."""
    return RuleFacts.model_validate({name: rule.get(name) for name in RuleFacts.model_fields})


def approvals_of(entries: list[Entry], model_sha256: str) -> tuple[Approval, ...]:
    """Every approval and rejection of a model, in order."""
    return tuple(
        Approval(
            sequence=entry.sequence,
            time=entry.time,
            approver=body.approver,
            verdict=body.verdict,
            reason=body.reason,
            keyid=body.keyid,
        )
        for entry, body in approvals(entries, model_sha256)
    )


def flags_of(entries: list[Entry], model_sha256: str) -> tuple[Flag, ...]:
    """Every time that a model was flagged as champion, in order; what stands is as of the last of `entries`."""
    found = [(entry, body) for entry, body in bodies(entries, ChampionFlagged) if body.model_sha256 == model_sha256]
    newest = {body.recalled: entry.sequence for entry, body in found}
    still = {flag.recalled for flag in standing_flags(entries).get(model_sha256, [])}
    return tuple(
        Flag(
            sequence=entry.sequence,
            time=entry.time,
            recalled=body.recalled,
            splits=body.splits,
            stands=body.recalled in still and newest[body.recalled] == entry.sequence,
        )
        for entry, body in found
    )
