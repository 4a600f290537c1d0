"""What the ledger says of one model, entry by entry, in words."""

from collections.abc import Iterator

from evaluation.base import Record
from flows.audit.cards.schema import Event, Standing
from flows.audit.cards.subject import Subject
from flows.ledger.bodies import (
    BODIES,
    ApprovalRecorded,
    ChampionFlagged,
    DataRecalled,
    DataReinstated,
    ModelRegistered,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
    RetrainingProposed,
    RunRecorded,
)
from flows.ledger.reading import body_of
from flows.ledger.standing import history as reigns

_KINDS: dict[str, type[Record]] = {str(name): kind for name, kind in BODIES.items()}


def standing(subject: Subject) -> Standing:
    """Whether the model serves now, or from when until when it did last."""
    found = reigns(subject.entries, subject.model.name)
    own = [i for i, reign in enumerate(found) if reign.model_sha256 == subject.model.model_sha256]
    if not own:
        return Standing(champion=False, sentence="It was never champion.")
    reign, after = found[own[-1]], found[own[-1] + 1 :]
    if not after:
        return Standing(champion=True, since=reign.since, sentence=f"Champion of {reign.name} since {reign.since}.")
    sentence = f"Champion from {reign.since} to {after[0].since}, when version {after[0].version} took its place."
    return Standing(champion=False, since=reign.since, until=after[0].since, sentence=sentence)


def events(subject: Subject) -> Iterator[Event]:
    """Every entry about the model, its run, its approvals, or data that it has seen."""
    promotions: set[str] = set()
    for entry in subject.entries:
        kind = _KINDS.get(entry.kind)
        if entry.body is None or kind is None:
            continue
        body = body_of(entry, kind)
        if isinstance(body, PromotionIntended) and subject.model.model_sha256 in (body.model_sha256, body.from_sha256):
            promotions.add(body.promotion)
        sentence = _sentence(subject, body, promotions)
        if sentence:
            key = body.keyid if isinstance(body, ApprovalRecorded | RunRecorded) else None
            yield Event(
                sequence=entry.sequence, time=entry.time, actor=entry.actor, kind=entry.kind, sentence=sentence, key=key
            )


def _sentence(subject: Subject, body: Record, promotions: set[str]) -> str:
    """Empty where an entry is not about this model."""
    model = subject.model
    match body:
        case ModelRegistered() if (body.name, body.version) == (model.name, model.version):
            return f"Registered as {body.name} version {body.version}."
        case RunRecorded() if body.run_id in (subject.made.run_id, subject.decided.run_id):
            verdict = f", the gate says {body.verdict}" if body.verdict else ""
            return f"Run {body.run_id} ended: {body.status.replace('_', ' ')}{verdict}."
        case PromotionIntended() if body.promotion in promotions:
            before = f"from version {body.from_version}" if body.from_version else "for the first time"
            return f"Champion is to move to version {body.version} {before} ({body.cause}): {body.reason}"
        case PromotionCompleted() if body.promotion in promotions:
            return f"Champion moved, as its {body.by} saw."
        case PromotionAbandoned() if body.promotion in promotions:
            return f"Champion was not moved: {body.why}"
        case ApprovalRecorded() if body.model_sha256 == model.model_sha256:
            return f"{body.approver} {body.verdict}s: {body.reason}"
        case _:
            return _about_data(subject, body)


def _about_data(subject: Subject, body: Record) -> str:
    seen = subject.data.splits_of if subject.data is not None else {}
    match body:
        case ChampionFlagged() if body.model_sha256 == subject.model.model_sha256:
            splits = ", ".join(f"{n} in {split}" for split, n in body.splits.items())
            return f"Flagged: it has seen recalled {body.recalled} ({splits})."
        case DataRecalled() if (body.what, body.id) in seen:
            return f"{body.what.capitalize()} {body.id}, which its data hold, was recalled: {body.reason}"
        case DataReinstated() if (body.what, body.id) in seen:
            return f"{body.what.capitalize()} {body.id} was reinstated: {body.reason}"
        case RetrainingProposed() if body.name == subject.model.name and _any_recalled(subject):
            return f"Retraining is proposed: {body.because}"
        case _:
            return ""


def _any_recalled(subject: Subject) -> bool:
    return subject.data is not None and any(
        entry.body is not None and (entry.body["what"], entry.body["id"]) in subject.data.splits_of
        for entry in subject.entries
        if entry.kind == "data.recalled"
    )
