"""Which runs are kept, and why: by age, and by what the ledger says of the models that they made."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flows.git import git
from flows.ledger.bodies import AliasObserved, ApprovalRecorded, ModelRegistered, PromotionIntended, RunRecorded
from flows.ledger.entry import Entry
from flows.ledger.reading import bodies
from flows.ledger.standing import champions, history, open_intents, registered
from flows.retention.rule import DAY_S, Place, Rule
from flows.runs import RECORD_FILE, RunRecord, Runs
from flows.workspace import RUN_REFS

_STAMP = re.compile(r"\d{8}-\d{6}")


@dataclass(frozen=True)
class KnownRun:
    """A run that a record, the ledger or a git ref knows.

    Attributes:
        key: of its workspace; empty where only ledger or ref know it.
        ended: epoch seconds; None: nobody knows. Of a run that was killed: when its record was written last.
        started: epoch seconds, or as `ended`.
        finished: stages that it brought up to date, so that it has to have a `dvc.lock`.
        models: sha256 of the bundle it came to, none or one.
    """

    run_id: str
    key: str = ""
    ended: float | None = None
    started: float | None = None
    at_work: bool = False
    finished: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kept:
    """What is kept.

    Attributes:
        why: reasons by run.
        serving: runs whose model serves, with what the model is called.
        registered: runs that are kept for nothing but a version that is neither champion nor the newest.
        models: sha256 of the models of runs in `why`.
    """

    why: dict[str, list[str]] = field(default_factory=dict)
    serving: dict[str, str] = field(default_factory=dict)
    registered: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()


def known_runs(place: Place, entries: Iterable[Entry]) -> list[KnownRun]:
    """Every run that somebody knows, in no particular order.

    Raises:
        WorkspaceError: a run's record cannot be read, or git failed.
    """
    runs = Runs(place.state)
    found = {record.run_id: _of_record(runs, record) for record in runs.newest_first()}
    others = {body.run_id: body.model_sha256 for _, body in bodies(entries, RunRecorded)}
    refs = git(place.checkout, "for-each-ref", "--format=%(refname)", RUN_REFS).split()
    others = dict.fromkeys((ref.removeprefix(f"{RUN_REFS}/") for ref in refs), None) | others
    for run_id, model in others.items():
        if run_id not in found:
            moment = _stamp(run_id)
            models = frozenset() if model is None else frozenset([model])
            found[run_id] = KnownRun(run_id, ended=moment, started=moment, models=models)
    return list(found.values())


def _of_record(runs: Runs, record: RunRecord) -> KnownRun:
    ended = record.ended_at or (runs.folder(record.run_id) / RECORD_FILE).stat().st_mtime
    return KnownRun(
        record.run_id,
        record.key,
        ended,
        min(_stamp(record.run_id) or record.started_at, ended),
        record.status == "running",
        tuple(record.stages),
        frozenset([str(record.model["sha256"])] if record.model else []),
    )


def _stamp(run_id: str) -> float | None:
    """When a run began, as its id says."""
    found = _STAMP.match(run_id)
    try:
        return datetime.strptime(found[0], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp() if found else None
    except ValueError:
        return None


def kept_runs(known: Sequence[KnownRun], entries: Sequence[Entry], rule: Rule) -> Kept:
    """The runs that a rule keeps."""
    why: dict[str, list[str]] = {}
    for run_id, reason in (*_by_age(known, rule), *_by_ledger(entries)):
        reasons = why.setdefault(run_id, [])
        if reason not in reasons:
            reasons.append(reason)
    versions = registered(entries)
    refused = frozenset(body.run_id for body in versions.values()) - set(why)
    models = {sha256 for run in known if run.run_id in why for sha256 in run.models}
    models |= {body.model_sha256 for body in versions.values() if body.run_id in why}
    return Kept(why, _serving(entries), refused, frozenset(models))


def _by_age(known: Sequence[KnownRun], rule: Rule) -> Iterable[tuple[str, str]]:
    ended = sorted(
        ((run.ended, run.run_id) for run in known if run.ended is not None and not run.at_work), reverse=True
    )
    for number, (moment, run_id) in enumerate(ended):
        if number < rule.newest:
            yield run_id, "the newest run" if rule.newest == 1 else f"one of the newest {rule.newest} runs"
        if rule.days and moment > rule.now - rule.days * DAY_S:
            yield run_id, f"younger than {rule.days:g} days"
    for run in known:
        if run.at_work:
            yield run.run_id, "at work"
        elif run.ended is None:
            yield run.run_id, "nobody knows when it ended"


def _by_ledger(entries: Sequence[Entry]) -> Iterable[tuple[str, str]]:
    versions = registered(entries)
    made: dict[str, list[ModelRegistered]] = {}
    for body in versions.values():
        made.setdefault(body.model_sha256, []).append(body)
    for name in {name for name, _ in versions}:
        newest = max((body for body in versions.values() if body.name == name), key=_in_order)
        yield newest.run_id, f"made {name}/{newest.version}, the newest version"
    for sha256, reason, run_id in (*_promotions(entries), *_words(entries)):
        for body in made.get(sha256, []):
            yield body.run_id, reason
        if run_id is not None:
            yield run_id, reason


def _promotions(entries: Sequence[Entry]) -> Iterable[tuple[str, str, str | None]]:
    """Models that serve, served, or are about to: sha256, why, and the run that is named."""
    serving = {(standing.name, standing.sequence) for standing in champions(entries).values()}
    for name in {body.name for _, body in bodies(entries, PromotionIntended)}:
        for standing in history(entries, name):
            serves = (name, standing.sequence) in serving
            what = f"{name}/{standing.version} {'is' if serves else 'was'} champion"
            yield standing.model_sha256, what, standing.intent.run_id
        for _, intent in open_intents(entries, name):
            what = f"the promotion of {name}/{intent.version} is not settled"
            yield intent.model_sha256, what, intent.run_id
            if intent.from_sha256 is not None:
                yield intent.from_sha256, what, None


def _words(entries: Sequence[Entry]) -> Iterable[tuple[str, str, str | None]]:
    """Models that somebody approved, or that the alias was seen at."""
    for _, said in bodies(entries, ApprovalRecorded):
        if said.verdict == "approve":
            yield said.model_sha256, f"{said.model} was approved", None
    for _, seen in bodies(entries, AliasObserved):
        if seen.found_sha256 is not None:
            yield seen.found_sha256, f"the alias of {seen.name} was seen at its model", None


def _serving(entries: Sequence[Entry]) -> dict[str, str]:
    """The runs that made, or were promoted with, a model that serves."""
    found: dict[str, str] = {}
    for name, standing in champions(entries).items():
        made = [body.run_id for body in registered(entries).values() if body.model_sha256 == standing.model_sha256]
        found |= dict.fromkeys([*made, *filter(None, [standing.intent.run_id])], f"{name}/{standing.version}")
    last = {seen.name: seen.found_sha256 for _, seen in bodies(entries, AliasObserved)}
    for name, sha256 in last.items():
        made = [body.run_id for body in registered(entries).values() if body.model_sha256 == sha256]
        found |= dict.fromkeys(made, f"the alias of {name}")
    return found


def _in_order(body: ModelRegistered) -> tuple[int, str]:
    return (int(body.version) if body.version.isdigit() else 0, body.version)
