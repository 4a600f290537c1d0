"""Promotions: each begins where the one before left the alias, of a registered version, for a reason that holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evaluation.evidence import NO_CHAMPION
from flows.audit.verify.entries import Told
from flows.audit.verify.results import Decided
from flows.audit.verify.tally import Tally, shown
from flows.ledger.bodies import (
    AliasObserved,
    ModelRegistered,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
    RunRecorded,
)
from flows.signing.statements import RunFacts

Place = tuple[str | None, str | None]


@dataclass(frozen=True)
class Known:
    """What promotions are held against.

    Attributes:
        decided: decisions that hold, by run.
        approvals: sequences of approvals that hold.
        policies: what a promotion does that the policy of its run does not allow.
        complete: whether the ledger's bodies are all here; a pack leaves out those that are not its business.
        runs: the runs whose statements hold.
    """

    decided: Mapping[str, Decided]
    approvals: set[int]
    policies: Callable[[int, PromotionIntended], tuple[str, ...]]
    complete: bool
    runs: Mapping[str, RunFacts]


@dataclass
class _State:
    """Where the aliases stand while the ledger is read."""

    said: dict[str, Place] = field(default_factory=dict)
    been: set[tuple[str, str, str]] = field(default_factory=set)
    registered: dict[tuple[str, str], str] = field(default_factory=dict)
    intents: dict[str, tuple[Told, PromotionIntended]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


def check_promotions(told: list[Told], known: Known, tally: Tally) -> None:
    """Every promotion in the order of the ledger."""
    state = _State()
    runs = {one.body.run_id for one in told if isinstance(one.body, RunRecorded)}
    for one in told:
        body = one.body
        if isinstance(body, ModelRegistered):
            _register(one, body, state, known, tally)
        elif isinstance(body, PromotionIntended):
            _intend(one, body, state, known, tally)
        elif isinstance(body, PromotionCompleted):
            found = _end(one, body.promotion, body.name, state, known, tally)
            if found is not None:
                _check_cause(*found, state, known, tally)
                _check_run(*found, known, runs, tally)
                _complete(*found, state, known, tally)
        elif isinstance(body, PromotionAbandoned):
            _end(one, body.promotion, body.name, state, known, tally)
        elif isinstance(body, AliasObserved):
            state.said[body.name] = (body.found_version, body.found_sha256)
    for one, intent in state.intents.values():
        tally.note(one.where, f"version {intent.version} of {intent.name}: neither completed nor abandoned yet")


def _register(one: Told, body: ModelRegistered, state: _State, known: Known, tally: Tally) -> None:
    made = known.runs.get(body.run_id)
    if made is not None and made.model_sha256 is not None:
        of = f"as run {body.run_id} made it"
        tally.same("promotion/other-model", one.where, f"the model, {of}", made.model_sha256, body.model_sha256)
        tally.same("promotion/other-model", one.where, f"its weights, {of}", made.parts, body.parts)
    before = state.registered.setdefault((body.name, body.version), body.model_sha256)
    tally.same("promotion/other-model", one.where, f"{body.name} version {body.version}", before, body.model_sha256)


def _intend(one: Told, body: PromotionIntended, state: _State, known: Known, tally: Tally) -> None:
    if body.promotion in state.intents or body.promotion in state.ended:
        tally.found("promotion/twice", one.where, f"the promotion {shown(body.promotion)} was intended before")
    state.intents[body.promotion] = (one, body)
    registered = state.registered.get((body.name, body.version))
    if registered is not None or known.complete:
        where = f"{body.name} version {body.version}, as it was registered"
        tally.same("promotion/other-model", one.where, where, registered, body.model_sha256)


def _end(
    one: Told, promotion: str, name: str, state: _State, known: Known, tally: Tally
) -> tuple[Told, PromotionIntended] | None:
    """The intent that an entry completes or abandons."""
    tally.count += 1
    found = state.intents.pop(promotion, None)
    state.ended.add(promotion)
    if found is None:
        if known.complete:
            tally.found("promotion/no-intent", one.where, f"nobody intended the promotion {shown(promotion)}")
        return None
    tally.same("promotion/other-model", one.where, "name of the model", found[1].name, name)
    return found


def _complete(one: Told, intent: PromotionIntended, state: _State, known: Known, tally: Tally) -> None:
    """Compare-and-set held: the alias stood where the intent says it was taken from."""
    before = state.said.get(intent.name, (None, None) if known.complete else None)
    if before is not None:
        subject = f"the champion before version {intent.version} of {intent.name}"
        tally.same("promotion/lost-update", one.where, subject, _text(before), _text(_from(intent)))
    state.said[intent.name] = (intent.version, intent.model_sha256)
    state.been.add((intent.name, intent.version, intent.model_sha256))


def _check_cause(one: Told, intent: PromotionIntended, state: _State, known: Known, tally: Tally) -> None:
    tally.count += 1
    complaints = tally.attempt("promotion/unreadable", one.where, known.policies, one.entry.sequence, intent)
    for complaint in complaints or ():
        tally.found("promotion/against-policy", one.where, complaint)
    if intent.cause == "rollback":
        if known.complete and (intent.name, intent.version, intent.model_sha256) not in state.been:
            tally.found("promotion/no-reason", one.where, f"rolls back to version {intent.version}, never a champion")
        return
    unsigned = ", ".join(str(sequence) for sequence in intent.approvals if sequence not in known.approvals)
    if unsigned and known.complete:
        tally.found("promotion/no-approval", one.where, f"names entries that are no approvals that hold: {unsigned}")


def _check_run(one: Told, intent: PromotionIntended, known: Known, runs: set[str], tally: Tally) -> None:
    """The decision that the promotion names is recorded, was about this model and this champion, and said promote."""
    run_id = intent.run_id
    if intent.cause == "rollback":
        return
    if run_id is None or intent.decision_sha256 is None:
        tally.found("promotion/no-decision", one.where, "names no decision of the gate")
    elif run_id not in runs and known.complete:
        tally.found("promotion/no-decision", one.where, f"the run {run_id}, which decided, left no record")
    elif run_id in known.runs:
        decided = known.decided.get(run_id)
        if decided is None:
            tally.found("promotion/no-decision", one.where, f"run {run_id} holds no decision that can be relied on")
            return
        of = f"of the decision of run {run_id}"
        tally.same("promotion/other-decision", one.where, f"fingerprint {of}", decided.sha256, intent.decision_sha256)
        tally.same("promotion/refused", one.where, f"verdict {of}", "promote", decided.verdict)
        tally.same("promotion/other-model", one.where, f"candidate {of}", decided.candidate, intent.model_sha256)
        if intent.cause == "gate":
            champion = intent.from_sha256 or NO_CHAMPION
            tally.same("promotion/other-champion", one.where, f"champion {of}", decided.champion, champion)


def _from(intent: PromotionIntended) -> Place:
    return (intent.from_version, intent.from_sha256)


def _text(place: Place) -> str:
    version, sha256 = place
    return "none" if version is None else f"version {version} ({shown(sha256)})"
