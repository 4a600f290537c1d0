"""Question 7: every candidate that the gate refused, and how the gate's limits changed from run to run.

Refused models stay in the books with their numbers, so nobody sees the survivors alone; and a limit that was lowered
until something passed is seen as well.
"""

from collections.abc import Iterator
from typing import Any

from evaluation.base import Record, fingerprint
from flows.audit.books import Books
from flows.audit.keys import Change, changes, limit_keys
from flows.audit.models import RuleFacts, decision_json, rule_facts, run_of
from flows.ledger.bodies import RunRecorded
from flows.ledger.entry import Entry
from flows.ledger.standing import bodies, registered
from flows.lineage.records import RunStatement
from worldmodel.errors import RecordError


class Refused(Record):
    """A candidate that the gate refused; `rules` are those that do not pass. `version` is null if it has none."""

    run_id: str
    time: str
    profile: str
    name: str | None
    version: str | None
    model_sha256: str | None
    summary: str
    decision_sha256: str
    rules: tuple[RuleFacts, ...]


class LimitsChanged(Record):
    """The gate's limits were other ones than in the decision before, in a run of the same profile."""

    run_id: str
    time: str
    profile: str
    before_run: str
    verdict: str
    changes: tuple[Change, ...]


class Rejected(Record):
    """The answer. `decided` counts all decisions, `without_record` runs whose decision is not among the records."""

    at: str | None
    decided: dict[str, int]
    refused: tuple[Refused, ...]
    limits: tuple[LimitsChanged, ...]


def rejected(books: Books, name: str | None = None) -> Rejected:
    """Every refused candidate of `name`, or of all, oldest first, and the history of the limits.

    Raises:
        RecordError: no model of that name was registered; or a decision is gone or was altered.
    """
    entries = books.entries()
    versions = {(body.name, body.model_sha256): version for (_, version), body in registered(entries).items()}
    names = sorted({of for of, _ in versions})
    if name is not None and name not in names:
        known = " or ".join(names) or "none yet"
        raise RecordError(f"{name}: no model of that name was registered", expected=known, got=name)
    decided: dict[str, int] = {}
    refused, limits, before = [], [], dict[str, tuple[str, dict[str, Any]]]()
    for entry, body, run, decision in _decisions(books, entries):
        if name is not None and body.model != name:
            continue
        verdict, profile = str(decision["verdict"]), run.facts.profile
        decided[verdict] = decided.get(verdict, 0) + 1
        if verdict == "refuse":
            refused.append(_refused(entry, body, run, decision, versions))
        if isinstance(decision.get("limits"), dict):
            asked = limit_keys(decision["limits"])
            if profile in before and (found := changes(before[profile][1], asked)):
                limits.append(_changed(entry, run, verdict, before[profile][0], found))
            before[profile] = (run.run_id, asked)
    return Rejected(at=books.at, decided=dict(sorted(decided.items())), refused=tuple(refused), limits=tuple(limits))


def _decisions(books: Books, entries: list[Entry]) -> Iterator[tuple[Entry, RunRecorded, RunStatement, dict[str, Any]]]:
    """Every recorded run that the gate decided about, once, in the ledger's order."""
    last = {body.run_id: (entry, body) for entry, body in bodies(entries, RunRecorded)}
    for entry, body in last.values():
        if body.decision_sha256 is None:
            continue
        run = run_of(books, body.run_id)
        decision = None if run is None else decision_json(books, run)
        if run is None or decision is None:
            what = f"run {body.run_id}: the ledger has its decision {body.decision_sha256[:16]}, the records do not"
            raise RecordError(
                what, fix="restore a backup of the records; worldmodel audit verify names all that is gone"
            )
        yield entry, body, run, decision


def _refused(
    entry: Entry,
    body: RunRecorded,
    run: RunStatement,
    decision: dict[str, Any],
    versions: dict[tuple[str, str], str],
) -> Refused:
    return Refused(
        run_id=run.run_id,
        time=entry.time,
        profile=run.facts.profile,
        name=body.model,
        version=versions.get((body.model or "", body.model_sha256 or "")),
        model_sha256=body.model_sha256,
        summary=str(decision["summary"]),
        decision_sha256=fingerprint(decision),
        rules=tuple(rule_facts(rule) for rule in decision["rules"] if rule["verdict"] != "pass"),
    )


def _changed(
    entry: Entry, run: RunStatement, verdict: str, before_run: str, found: tuple[Change, ...]
) -> LimitsChanged:
    return LimitsChanged(
        run_id=run.run_id,
        time=entry.time,
        profile=run.facts.profile,
        before_run=before_run,
        verdict=verdict,
        changes=found,
    )
