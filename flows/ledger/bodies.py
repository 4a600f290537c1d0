"""What an entry of each kind says. Bodies are checked when they are written; a reader takes them as JSON."""

from typing import Any, Literal

from evaluation.base import Record
from flows.ledger.entry import Kind

Cause = Literal["gate", "approved", "rollback"]


class KeyTrusted(Record):
    """A key may sign from now on. `envelope` is a `TrustFacts` statement, signed by an admin's key; the first by its
    own."""

    keyid: str
    public_key: str
    owner: str
    roles: tuple[str, ...]
    envelope: dict[str, Any]


class KeyRevoked(Record):
    """What a key signs from now on counts for nothing; what it signed before stands."""

    keyid: str
    reason: str


class RunRecorded(Record):
    """A run ended, and left its statement (`sha256` of the envelope)."""

    run_id: str
    statement_sha256: str
    keyid: str
    status: str
    snapshot: str
    dirty: bool
    model: str | None = None
    model_sha256: str | None = None
    decision_sha256: str | None = None
    verdict: str | None = None


class ModelRegistered(Record):
    """A version of a model, keyed by the digest of its bundle; `parts` are sha256 of weights by name."""

    name: str
    version: str
    model_sha256: str
    run_id: str
    parts: dict[str, str]


class PromotionIntended(Record):
    """The alias `champion` of `name` is about to move from one version to another (None: there was none)."""

    promotion: str
    name: str
    version: str
    model_sha256: str
    from_version: str | None
    from_sha256: str | None
    cause: Cause
    reason: str
    run_id: str | None = None
    decision_sha256: str | None = None
    approvals: tuple[int, ...] = ()


class PromotionCompleted(Record):
    """The alias has moved; `by` says whether its promoter saw it or the reconciler found it so."""

    promotion: str
    name: str
    by: Literal["promoter", "reconciler"]


class PromotionAbandoned(Record):
    """The alias was never moved, and will not be for this intent."""

    promotion: str
    name: str
    why: str


class AliasObserved(Record):
    """The alias was found elsewhere than the ledger last said."""

    name: str
    recorded_version: str | None
    found_version: str | None
    found_sha256: str | None


class ApprovalRecorded(Record):
    """A model was approved or rejected; `envelope` is an `ApprovalFacts` statement, signed by an approver's key."""

    model: str
    model_sha256: str
    approver: str
    verdict: Literal["approve", "reject"]
    reason: str
    keyid: str
    envelope: dict[str, Any]


class DataRecalled(Record):
    """A log or clip may not be used any more."""

    what: Literal["log", "clip"]
    id: str
    reason: str


class DataReinstated(Record):
    """A recall was taken back."""

    what: Literal["log", "clip"]
    id: str
    reason: str


class ChampionFlagged(Record):
    """The champion has seen recalled data; `splits` says in which splits, with how many clips."""

    name: str
    version: str
    model_sha256: str
    recalled: str
    splits: dict[str, int]


class RetrainingProposed(Record):
    """A model should be trained anew; `command` does it."""

    name: str
    because: str
    command: str


class Deleted(Record):
    """Something that was deleted: a path below the state directory, or an object by digest."""

    kind: str
    path: str
    bytes: int
    digest: str | None = None


class RetentionDeleted(Record):
    """What retention deletes, and under which rule; written before anything goes."""

    rule: str
    items: tuple[Deleted, ...]


class ClockBehind(Record):
    """The clock stood at `observed`, before the entry before; entries keep that one's time until it has caught up."""

    observed: str


class LedgerRestored(Record):
    """The ledger was restored from a backup that ended at `sequence`; `lost` are anchored sequences beyond it."""

    backup_sha256: str
    sequence: int
    hash: str
    lost: tuple[int, ...]


BODIES: dict[Kind, type[Record]] = {
    "key.trusted": KeyTrusted,
    "key.revoked": KeyRevoked,
    "run.recorded": RunRecorded,
    "model.registered": ModelRegistered,
    "promotion.intended": PromotionIntended,
    "promotion.completed": PromotionCompleted,
    "promotion.abandoned": PromotionAbandoned,
    "alias.observed": AliasObserved,
    "approval.recorded": ApprovalRecorded,
    "data.recalled": DataRecalled,
    "data.reinstated": DataReinstated,
    "champion.flagged": ChampionFlagged,
    "retraining.proposed": RetrainingProposed,
    "retention.deleted": RetentionDeleted,
    "clock.behind": ClockBehind,
    "ledger.restored": LedgerRestored,
}
KIND_OF: dict[type[Record], Kind] = {body: kind for kind, body in BODIES.items()}
