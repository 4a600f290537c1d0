"""Question 5: which validations ran on data, what they found, and what the gate made of it.

There is no way to override a verdict: training refuses unfit data, and so does the gate. What its rule said is shown.
"""

from collections.abc import Iterable
from typing import Any

from evaluation.base import Record
from flows.audit.books import Books, names_model
from flows.audit.impact import find_data, holding
from flows.audit.making import PREPARE, VALIDATE, Made, runs_with, stages_of, statement_of, upstream
from flows.audit.models import RuleFacts, decision_json, model_of, rule_facts
from flows.ledger.standing import registered
from flows.lineage.index import Node
from flows.lineage.records import STAGE_FILES, RunStatement, stage_record
from worldmodel.errors import RecordError

RULE = "evidence/validation"
_KINDS = ("source", "log", "clip", "shard", "output", "run")
_RUN_ROLES = ("ran", "cached", "restored")
(_VERDICT_FILE,) = STAGE_FILES[VALIDATE]


class ExpectationFacts(Record):
    """One expectation: what it asked of which column, of how many values, and what came of it."""

    suite: str
    check: str
    column: str
    asked: dict[str, Any]
    success: bool
    not_applicable: bool
    checked: int | None
    unexpected: int
    exception: str | None


class Judged(Record):
    """A run that went on with the verdict, and what the gate's rule about it said (null: nothing was decided)."""

    run_id: str
    time: str
    outcome: str
    status: str
    gate: str | None
    rule: RuleFacts | None


class Validation(Record):
    """One verdict on one prepared output.

    Attributes:
        prepared, output: digests of what was validated, and of the validation.
        fit: null: the record says nothing that this version can read.
        suite_version, suites: of the rules; fingerprints by suite.
        n_clips, n_decoded: clips in the manifest, and those that were decoded and looked at.
        limits: the params of the stage that ran it.
    """

    prepared: str
    output: str
    fit: bool | None
    schema_version: str
    suite_version: int | None
    suites: dict[str, str]
    n_clips: int | None
    n_decoded: int | None
    errors: dict[str, str]
    expectations: tuple[ExpectationFacts, ...]
    limits: dict[str, Any]
    runs: tuple[Judged, ...]


class Unvalidated(Record):
    """A run with prepared data and without a verdict: validation failed (unfit data leave none), or was not reached."""

    prepared: str
    run_id: str
    status: str


class Validations(Record):
    """The answer; `at` is the time that it is about, None: now. `overridden` are runs that the gate passed although
    the verdict was unfit: there is no way to, so each of them is a breach."""

    at: str | None
    what: str
    validations: tuple[Validation, ...]
    without: tuple[Unvalidated, ...]
    overridden: tuple[str, ...]


def validations(books: Books, what: str) -> Validations:
    """Every validation of a source, a log, an output of prepare, or of the data of a run or model.

    Raises:
        RecordError: nothing or more than one thing is called that; or a record is gone or was altered.
    """
    found, without = [], []
    for node in _prepared(books, what):
        uses = [
            edge
            for edge in books.index.edges_from(node, ("input",))
            if edge.dst.attrs.get("stage") == VALIDATE and books.holds(edge.since)
        ]
        for output in sorted({edge.dst.key for edge in uses}):
            runs = sorted((edge.since, edge.run) for edge in uses if edge.dst.key == output)
            found.append(_validation(books, node.key, output, runs))
        validated = {edge.run for edge in uses}
        for _, run_id, _ in runs_with(books, node.key):
            if run_id not in validated:
                status = statement_of(books, run_id).facts.status
                without.append(Unvalidated(prepared=node.key, run_id=run_id, status=status))
    overridden = [run.run_id for one in found if one.fit is False for run in one.runs if run.gate == "promote"]
    return Validations(
        at=books.at,
        what=what,
        validations=tuple(found),
        without=tuple(without),
        overridden=tuple(overridden),
    )


def _prepared(books: Books, what: str) -> list[Node]:
    """The prepared outputs that `what` is about."""
    if names_model(books, what):
        return _of_model(books, what)
    try:
        node = find_data(books, what, _KINDS)
    except RecordError as unknown:
        try:
            return _of_model(books, what)
        except RecordError:
            raise unknown from None
    if node.kind == "run":
        made: Iterable[Node] = (edge.dst for edge in books.index.edges_from(node, _RUN_ROLES))
    elif node.kind == "output" and node.attrs.get("stage") != PREPARE:
        made = (edge.src for edge in books.index.edges_into(node, ("input",)))
    else:
        return [held.node for held in holding(books, node)]
    return list({one.key: one for one in made if one.attrs.get("stage") == PREPARE}.values())


def _of_model(books: Books, spec: str) -> list[Node]:
    model = model_of(books, spec)
    body = registered(books.entries("model.registered"))[model.name, model.version]
    chain = upstream(books, statement_of(books, body.run_id), body.parts.values())
    return [books.index.resolve(made.output, ("output",)) for made in chain if made.stage == PREPARE]


def _validation(books: Books, prepared: str, output: str, runs: list[tuple[str, str]]) -> Validation:
    used = [(since, statement_of(books, run_id)) for since, run_id in runs]
    made = [stages_of(books, run)[VALIDATE] for _, run in used]
    first = next((one for one in made if one.facts.outcome == "ran"), made[0])
    verdict = _verdict(books, first.run)
    suites = verdict.get("suites") or []
    sampled = verdict.get("sampled")
    return Validation(
        prepared=prepared,
        output=output,
        fit=verdict.get("success"),
        schema_version=str(verdict.get("schema_version")),
        suite_version=verdict.get("suite_version"),
        suites={suite["name"]: suite["fingerprint"] for suite in suites},
        n_clips=verdict.get("n_clips"),
        n_decoded=None if sampled is None else len(sampled),
        errors=verdict.get("errors") or {},
        expectations=tuple(_expectation(suite["name"], one) for suite in suites for one in suite["expectations"]),
        limits=first.section,
        runs=tuple(_judged(books, since, one) for (since, _), one in zip(used, made, strict=True)),
    )


def _verdict(books: Books, run: RunStatement) -> dict[str, Any]:
    name = stage_record(VALIDATE, _VERDICT_FILE)
    found = books.records.json(run, name)
    if not isinstance(found, dict):
        raise RecordError(f"{name} of run {run.run_id}: not a verdict", got=type(found).__name__)
    return found


def _expectation(suite: str, found: dict[str, Any]) -> ExpectationFacts:
    return ExpectationFacts(
        suite=suite,
        check=found["check"],
        column=found["column"],
        asked={key: value for key, value in found["kwargs"].items() if not key.startswith("column")},
        success=found["success"] is True,
        not_applicable=found["not_applicable"],
        checked=found["observed"].get("checked"),
        unexpected=found["unexpected_count"],
        exception=found["exception"],
    )


def _judged(books: Books, since: str, made: Made) -> Judged:
    run = made.run
    decision = decision_json(books, run)
    rules = [] if decision is None else [rule for rule in decision["rules"] if rule["id"] == RULE]
    return Judged(
        run_id=run.run_id,
        time=since,
        outcome=made.facts.outcome,
        status=run.facts.status,
        gate=None if decision is None else str(decision["verdict"]),
        rule=rule_facts(rules[0]) if rules else None,
    )
