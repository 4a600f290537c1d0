"""Question 1: which model is champion, or was at some time; since when, by whose hand, and on what evidence.

Answered from the ledger: a registry that is down, or whose alias somebody moved by hand, changes nothing.
"""

from itertools import pairwise

from evaluation.base import Record
from flows.audit.books import Books
from flows.audit.models import Approval, DecisionFacts, Flag, approvals_of, decision_of, flags_of
from flows.ledger.bodies import AliasObserved, PromotionCompleted, PromotionIntended
from flows.ledger.entry import Entry
from flows.ledger.standing import Standing, bodies, body_of, history, open_intents, registered
from worldmodel.errors import RecordError


class Reign(Record):
    """One model's time as champion.

    Attributes:
        since, until: when the alias came and went; None: it still stands there.
        actor: who meant the alias to move; `completed_by`: promoter, or reconciler after a crash.
        intended, completed: sequence numbers of both entries.
    """

    name: str
    version: str
    model_sha256: str
    since: str
    until: str | None
    actor: str
    cause: str
    reason: str
    from_version: str | None
    run_id: str | None
    intended: int
    intended_at: str
    completed: int
    completed_by: str
    decision_sha256: str | None
    decision: DecisionFacts | None
    approvals: tuple[Approval, ...]
    flags: tuple[Flag, ...]


class OpenIntent(Record):
    """A promotion that was announced and neither completed nor abandoned: its driver may have died in between."""

    sequence: int
    time: str
    actor: str
    version: str
    from_version: str | None
    reason: str


class Observed(Record):
    """The registry's alias was found where no promotion had put it."""

    sequence: int
    time: str
    recorded_version: str | None
    found_version: str | None
    sentence: str


class ChampionOf(Record):
    """Of one model's name: who serves, who served before, and what does not fit.

    Attributes:
        now: None: no champion then.
        reigns: all of them, oldest first, the standing one included.
        observed: what was found at the alias since the standing champion came.
    """

    name: str
    now: Reign | None
    reigns: tuple[Reign, ...]
    open_intents: tuple[OpenIntent, ...]
    observed: tuple[Observed, ...]


class Champions(Record):
    """The answer; `at` is the time that it is about, None: now."""

    at: str | None
    models: tuple[ChampionOf, ...]


def champion(books: Books, name: str | None = None) -> Champions:
    """Who is champion of `name`, or of every name, at the books' time.

    Raises:
        RecordError: no model of that name was registered by then.
    """
    entries = books.entries()
    names = sorted({of for of, _ in registered(entries)})
    if name is not None and name not in names:
        known = " or ".join(names) or "none yet"
        raise RecordError(f"{name}: no model of that name was registered", expected=known, got=name)
    chosen = names if name is None else [name]
    return Champions(at=books.at, models=tuple(_champion_of(books, entries, one) for one in chosen))


def _champion_of(books: Books, entries: list[Entry], name: str) -> ChampionOf:
    found = reigns(books, entries, name)
    now = found[-1] if found and found[-1].until is None else None
    seen = [_observed(entry, body) for entry, body in bodies(entries, AliasObserved) if body.name == name]
    return ChampionOf(
        name=name,
        now=now,
        reigns=found,
        open_intents=tuple(
            OpenIntent(
                sequence=entry.sequence,
                time=entry.time,
                actor=entry.actor,
                version=intent.version,
                from_version=intent.from_version,
                reason=intent.reason,
            )
            for entry, intent in open_intents(entries, name)
        ),
        observed=tuple(one for one in seen if now is None or one.sequence > now.completed),
    )


def spans(entries: list[Entry], name: str) -> list[tuple[Standing, str | None]]:
    """Every champion of a name, oldest first, with the time that the next one came."""
    found = history(entries, name)
    ends = [following.since for _, following in pairwise(found)]
    return list(zip(found, [*ends, None], strict=True)) if found else []


def reigns(books: Books, entries: list[Entry], name: str) -> tuple[Reign, ...]:
    """Every champion of a name, oldest first, with the evidence that it was promoted on."""
    by_sequence = {entry.sequence: entry for entry in entries}
    intended = {body.promotion: entry for entry, body in bodies(entries, PromotionIntended)}
    found = []
    for standing, until in spans(entries, name):
        completed = body_of(by_sequence[standing.sequence], PromotionCompleted)
        found.append(_reign(books, entries, standing, until, (intended[completed.promotion], completed)))
    return tuple(found)


def _reign(
    books: Books,
    entries: list[Entry],
    standing: Standing,
    until: str | None,
    promotion: tuple[Entry, PromotionCompleted],
) -> Reign:
    intent, (intended, completed) = standing.intent, promotion
    decision = decision_of(books, intent.run_id)
    if decision is not None and decision.sha256 != intent.decision_sha256:
        decision = None  # a roll back may name the run that made the version, and no decision
    return Reign(
        name=standing.name,
        version=standing.version,
        model_sha256=standing.model_sha256,
        since=standing.since,
        until=until,
        actor=standing.by,
        cause=intent.cause,
        reason=intent.reason,
        from_version=intent.from_version,
        run_id=intent.run_id,
        intended=intended.sequence,
        intended_at=intended.time,
        completed=standing.sequence,
        completed_by=completed.by,
        decision_sha256=intent.decision_sha256,
        decision=decision,
        approvals=tuple(a for a in approvals_of(entries, standing.model_sha256) if a.sequence in intent.approvals),
        flags=flags_of(entries, standing.model_sha256),
    )


def _observed(entry: Entry, body: AliasObserved) -> Observed:
    stood = "at no version" if body.found_version is None else f"at version {body.found_version}"
    ours = "no version" if body.recorded_version is None else f"version {body.recorded_version}"
    return Observed(
        sequence=entry.sequence,
        time=entry.time,
        recorded_version=body.recorded_version,
        found_version=body.found_version,
        sentence=f"the registry's alias stood {stood}, and the ledger says {ours}: moved by no recorded promotion",
    )
