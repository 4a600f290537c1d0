"""Registering a model and moving its alias `champion`, both under the ledger's lock for the model and both recorded.

In this order: settle what is open, read the alias, compare it with what the decision saw, write the intent, move the
alias, write the completion. A crash or an outage anywhere leaves what `flows.promotion.reconcile` can settle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from flows import registry
from flows.ledger.bodies import Cause, ModelRegistered, PromotionCompleted, PromotionIntended
from flows.ledger.entry import Entry
from flows.ledger.reading import body_of
from flows.ledger.standing import registered
from flows.promotion.approvals import KINDS, complaints
from flows.promotion.lock import model_lock
from flows.promotion.policy import PromotionPolicy
from flows.promotion.reconcile import (
    COMMAND,
    place,
    settle_now,
    superseded,
    version_text,
)
from worldmodel.errors import LedgerError, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flows.ledger.store import Ledger

_DEFAULT_POLICY = PromotionPolicy()
Plan = Callable[[registry.Champion | None], "Promotion | None"]


@dataclass(frozen=True)
class Promotion:
    """A version that is to be champion.

    Attributes:
        expected: the champion's version that the decision saw; None: there was none.
        run_id, decision_sha256: the run whose gate decided, and its decision's fingerprint.
        approvals: sequence numbers of the approvals that count.
        policy: what it has to satisfy.
    """

    name: str
    version: str
    model_sha256: str
    expected: str | None
    cause: Cause
    reason: str
    run_id: str | None = None
    decision_sha256: str | None = None
    approvals: tuple[int, ...] = ()
    policy: PromotionPolicy = _DEFAULT_POLICY


def register(
    ledger: "Ledger",
    client: "MlflowClient",
    candidate: registry.Candidate,
    run_id: str,
    parts: dict[str, str],
    actor: str,
) -> str:
    """The version of a bundle, made and recorded once however often and by however many runs it is asked for.

    Args:
        ledger, client: both sides.
        candidate: the bundle, by its digest.
        run_id: the run that made it, by its id among our runs.
        parts: sha256 of its weights by name.
        actor: who registers it.

    Raises:
        RegistryError: MLflow does not answer, or has another model under a version that the ledger knows.
        LedgerError: the ledger does not answer, or another process holds the model's lock for long.
    """
    name = candidate.name
    with model_lock(ledger, name):
        known = registered(ledger.entries(kinds=("model.registered",)))
        with registry.asking():
            version = registry.find_version(client, name, candidate.sha256)
            version = version or registry.create_version(client, candidate)
            recorded = known.get((name, version))
            if recorded is None:
                body = {"name": name, "version": version, "model_sha256": candidate.sha256}
                ledger.append(ModelRegistered.model_validate({**body, "run_id": run_id, "parts": parts}), actor)
            elif recorded.model_sha256 != candidate.sha256:
                raise _other_model(name, version, recorded.model_sha256, candidate.sha256)
            registry.propose(client, name, version)
    return version


def promote(ledger: "Ledger", client: "MlflowClient", promotion: Promotion, actor: str) -> list[Entry]:
    """Moves the alias `champion`, if it still stands where the decision saw it; returns all that was recorded.

    Raises:
        RegistryError: the champion is another, the policy is not met, the version is not what the ledger knows, or
            MLflow does not answer; what was recorded of an intent by then is for `reconcile`.
        LedgerError: the ledger does not answer, or another process holds the model's lock for long.
    """
    return carry_out(ledger, client, promotion.name, lambda _: promotion, actor)


def carry_out(ledger: "Ledger", client: "MlflowClient", name: str, plan: Plan, actor: str) -> list[Entry]:
    """`promote` for what can be decided only under the lock: `plan` is told who serves, and says None to leave it so.

    Raises:
        RegistryError, LedgerError: as `promote`; and what `plan` raises.
    """
    with model_lock(ledger, name):
        recorded, before = settle_now(ledger, client, name, actor)
        promotion = plan(before)
        if promotion is None:
            return recorded
        _check_champion(promotion, before)
        intent = _intent(promotion, before)
        entries = list(ledger.entries(kinds=KINDS))
        _check_version(entries, client, promotion)
        _check_policy(entries, intent, promotion.policy)
        recorded += ledger.append_all([*superseded(entries, name, place(before)), intent], actor)
        _move(client, promotion)
        recorded.append(_complete(ledger, intent, actor))
    return recorded


def promoted(entries: list[Entry]) -> PromotionIntended:
    """The promotion among what `promote` recorded."""
    return next(body_of(entry, PromotionIntended) for entry in entries if entry.kind == "promotion.intended")


def _intent(promotion: Promotion, before: registry.Champion | None) -> PromotionIntended:
    from_version, from_sha256 = place(before)
    return PromotionIntended(
        promotion=uuid4().hex,
        name=promotion.name,
        version=promotion.version,
        model_sha256=promotion.model_sha256,
        from_version=from_version,
        from_sha256=from_sha256,
        cause=promotion.cause,
        reason=promotion.reason,
        run_id=promotion.run_id,
        decision_sha256=promotion.decision_sha256,
        approvals=promotion.approvals,
    )


def _check_champion(promotion: Promotion, before: registry.Champion | None) -> None:
    found = None if before is None else before.version
    if found != promotion.expected:
        raise RegistryError(
            f"the champion of {promotion.name} changed while this was decided",
            expected=version_text(promotion.expected),
            got=version_text(found),
            fix="decide again, about the champion that serves now: worldmodel run",
        )
    if found == promotion.version:
        raise RegistryError(f"version {found} of {promotion.name} is champion already", fix="worldmodel status")


def _check_version(entries: list[Entry], client: "MlflowClient", promotion: Promotion) -> None:
    """The ledger and the registry must both have this version as this bundle."""
    name, version, wanted = promotion.name, promotion.version, promotion.model_sha256
    known = registered(entries).get((name, version))
    if known is None:
        fix = "registering is part of a run: worldmodel run"
        raise RegistryError(f"the ledger does not know version {version} of {name} as registered", fix=fix)
    with registry.asking():
        held = registry.digest_of(client, name, version)
    for found in (known.model_sha256, held):
        if found != wanted:
            raise _other_model(name, version, wanted, found)


def _check_policy(entries: list[Entry], intent: PromotionIntended, policy: PromotionPolicy) -> None:
    if problems := complaints(entries, intent, policy):
        raise RegistryError(
            f"version {intent.version} of {intent.name} may not be promoted",
            expected="what section promotion of its params.yaml asks for",
            got="; ".join(problems),
            fix=f"worldmodel approve {intent.name}/{intent.version} --reason TEXT, then worldmodel promote",
        )


def _move(client: "MlflowClient", promotion: Promotion) -> None:
    try:
        with registry.asking():
            registry.move_champion(client, promotion.name, promotion.version)
    except RegistryError as error:
        raise RegistryError(
            f"MLflow did not confirm that version {promotion.version} of {promotion.name} is champion",
            got=error.got,
            fix=f"the ledger holds what was intended; when MLflow answers again, reconcile: {COMMAND}",
        ) from error


def _complete(ledger: "Ledger", intent: PromotionIntended, actor: str) -> Entry:
    body = PromotionCompleted(promotion=intent.promotion, name=intent.name, by="promoter")
    try:
        return ledger.append(body, actor)
    except LedgerError as error:
        raise LedgerError(
            f"version {intent.version} of {intent.name} is champion, and the ledger did not take the completion",
            got=error.got or error.what,
            fix=f"the ledger holds what was intended; when it answers again, reconcile: {COMMAND}",
        ) from error


def _other_model(name: str, version: str, expected: str, got: str) -> RegistryError:
    return RegistryError(
        f"version {version} of {name} is not the same model in the ledger and in the registry",
        expected=f"sha256 {expected}",
        got=f"sha256 {got}" if got else "no digest",
        fix="name the registry that the ledger is about: MLFLOW_TRACKING_URI; worldmodel audit verify tells more",
    )
