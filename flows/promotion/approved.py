"""Promoting a version that its run's gate let through, once the people whom its policy asks for have approved it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.base import fingerprint
from evaluation.evidence import NO_CHAMPION
from flows.ledger.bodies import ModelRegistered, RunRecorded
from flows.ledger.entry import Entry
from flows.ledger.reading import bodies
from flows.ledger.standing import champions, trusted_keys
from flows.lineage.records import DECISION, PARAMS, Records
from flows.promotion.approvals import Approvals, counted
from flows.promotion.policy import PromotionPolicy, read_policy
from flows.promotion.promote import Promotion, carry_out
from flows.promotion.recalls import SeenRecalled, flagged
from flows.registry import Champion
from flows.signing.dsse import verify
from worldmodel.errors import RecordError, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flows.ledger.store import Ledger


@dataclass(frozen=True)
class Judged:
    """What the newest run that made a model came to, out of its signed records.

    Attributes:
        verdict: of its gate; None where it never came to one.
        champion_sha256: whom the gate compared with; None: there was no champion, or the gate decided nothing.
        policy: from the run's own params.
    """

    run_id: str
    verdict: str | None
    decision_sha256: str | None
    champion_sha256: str | None
    policy: PromotionPolicy


def judged(entries: Sequence[Entry], records: Records, model: ModelRegistered) -> Judged:
    """Reads that run's records, after checking them: ledger, signed statement, digests.

    Raises:
        RecordError: no run that made this model is recorded, or a record is gone or altered.
        SigningError: the run's statement is not signed by the key that recorded it.
    """
    runs = [body for _, body in bodies(entries, RunRecorded) if body.model_sha256 == model.model_sha256]
    if not runs:
        what = f"{model.name} version {model.version}: no run that made it is recorded"
        raise RecordError(what, got=f"run {model.run_id}", fix="wait until it has ended, or run again: worldmodel run")
    recorded = next((run for run in reversed(runs) if run.verdict is not None), runs[-1])
    run, where = records.run(recorded.run_id), f"the statement of run {recorded.run_id}"
    if run.sha256 != recorded.statement_sha256:
        raise RecordError(f"{where} was altered", expected=f"sha256 {recorded.statement_sha256}", got=run.sha256)
    signer = trusted_keys(entries).get(recorded.keyid)
    verify(run.envelope, {} if signer is None else {signer.keyid: signer.public}, where)
    policy = read_policy(records.text(run, PARAMS) or "{}", f"{PARAMS} of run {run.run_id}")
    champion = None
    if recorded.decision_sha256 is not None:
        decision = records.json(run, DECISION)
        if fingerprint(decision) != recorded.decision_sha256:
            raise RecordError(f"{DECISION} of run {run.run_id} is not the decision that the ledger names")
        champion = (decision["evidence"] or {}).get("champion_sha256")
    champion = None if champion == NO_CHAMPION else champion
    return Judged(run.run_id, recorded.verdict, recorded.decision_sha256, champion, policy)


def promote_approved(
    ledger: "Ledger",
    client: "MlflowClient",
    records: Records,
    model: ModelRegistered,
    actor: str,
    recalled: SeenRecalled = flagged,
) -> list[Entry]:
    """Promotes a version if nothing is missing; returns all that was recorded, no promotion if it serves already.

    Args:
        ledger, client, records, actor: both sides, what runs left, and who promotes.
        model: the version.
        recalled: tells what recalled data a model has seen, in words (`flows.promotion.recalls`).

    Raises:
        RegistryError: something is missing (it says all of it), or as `flows.promotion.promote.promote`.
        RecordError, SigningError: as `judged`.
        LedgerError: as `flows.promotion.promote.promote`.
    """

    def plan(serving: Champion | None) -> Promotion | None:
        entries = list(ledger.entries())
        if serves(entries, model) and serving is not None and serving.version == model.version:
            return None
        run = judged(entries, records, model)
        found = counted(entries, model.model_sha256, run.policy)
        lacking = missing(run, found, serving)
        if seen := recalled(entries, model.model_sha256):
            lacking.append(f"it has seen recalled data ({', '.join(seen)}), which the next run leaves out")
        if lacking:
            raise RegistryError(
                f"{model.name} version {model.version} cannot be promoted now",
                expected=_asked(run.policy),
                got="; ".join(lacking),
                fix=f"worldmodel approve {model.name}/{model.version} --reason TEXT; worldmodel run decides anew",
            )
        return Promotion(
            name=model.name,
            version=model.version,
            model_sha256=model.model_sha256,
            expected=None if serving is None else serving.version,
            cause="approved",
            reason=_reason(run, found),
            run_id=run.run_id,
            decision_sha256=run.decision_sha256,
            approvals=found.granted,
            policy=run.policy,
        )

    return carry_out(ledger, client, model.name, plan, actor)


def serves(entries: Sequence[Entry], model: ModelRegistered) -> bool:
    """Whether the ledger has this version as champion."""
    standing = champions(entries).get(model.name)
    return standing is not None and (standing.version, standing.model_sha256) == (model.version, model.model_sha256)


def missing(run: Judged, found: Approvals, serving: Champion | None) -> list[str]:
    """What stands between a model and its promotion, as sentences; empty when nothing does."""
    lacking = []
    if run.verdict != "promote":
        said = "never decided" if run.verdict is None else f"said {run.verdict.replace('_', ' ')}"
        lacking.append(f"the gate of run {run.run_id} {said}")
    elif (now := None if serving is None else serving.sha256) != run.champion_sha256:
        compared, serves = _champion(run.champion_sha256), _champion(now, serving)
        lacking.append(f"the gate of run {run.run_id} compared it with {compared}, and now {serves} serves")
    return [*lacking, *filter(None, [found.missing])]


def _champion(sha256: str | None, serving: Champion | None = None) -> str:
    if sha256 is None:
        return "no champion"
    return f"champion {sha256[:16]}" + ("" if serving is None else f" (version {serving.version})")


def _asked(policy: PromotionPolicy) -> str:
    people = " of people who did not train it" if policy.approvals and policy.separate_duties else ""
    return f"the gate's verdict promote, the champion it compared with, {policy.asked}{people}"


def _reason(run: Judged, found: Approvals) -> str:
    by = ", ".join(found.approvers)
    return f"the gate of run {run.run_id} let it through" + (f", and {by} approved" if by else "")
