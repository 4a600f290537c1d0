"""Approvals of a model: signed by whoever gives them, recorded in the ledger, judged whenever they count.

The judgement is a pure function of the ledger's entries, so that an auditor comes to the same one offline.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flows.ledger.bodies import ApprovalRecorded, ModelRegistered, PromotionIntended, RunRecorded
from flows.ledger.entry import Entry, Kind
from flows.ledger.reading import bodies
from flows.ledger.standing import TrustedKey, approvals, trusted_keys
from flows.promotion.lock import model_lock
from flows.promotion.policy import PromotionPolicy
from flows.signing.dsse import sign, verify
from flows.signing.keys import ACTOR_VARIABLE, SigningKey
from flows.signing.statements import APPROVAL, ApprovalFacts, fact_statement, read_facts, subject_digests
from flows.stores import now_text
from worldmodel.errors import ParamsError, RecordError, SigningError

if TYPE_CHECKING:
    from flows.ledger.store import Ledger

Verdict = Literal["approve", "reject"]
KINDS: tuple[Kind, ...] = (
    "key.trusted",
    "key.revoked",
    "run.recorded",
    "model.registered",
    "approval.recorded",
    "promotion.intended",
    "promotion.completed",
    "promotion.abandoned",
)


@dataclass(frozen=True)
class Opinion:
    """What somebody thinks of a model, and why."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Approvals:
    """What people's words on a model come to.

    Attributes:
        needed: how many approvals the policy asks for.
        granted: sequence numbers of the approvals that count, one a person.
        approvers: who gave them.
        rejected: who rejects it, and why, as sentences.
        refused: why other approvals do not count, as sentences.
    """

    needed: int
    granted: tuple[int, ...] = ()
    approvers: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """What stands between the model and its promotion, in words; empty when nothing does."""
        found = list(self.rejected)
        if len(self.granted) < self.needed:
            given = f" (of {', '.join(self.approvers)})" if self.approvers else ""
            found += [f"{len(self.granted)} of {self.needed} approvals{given}", *self.refused]
        return "; ".join(found)


@dataclass(frozen=True)
class _Makers:
    """Who ran what came to a model: names, keys, and the runs."""

    names: frozenset[str]
    keyids: frozenset[str]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    """Somebody's verified word on a model."""

    entry: Entry
    facts: ApprovalFacts
    keyid: str

    @property
    def names(self) -> frozenset[str]:
        """Who gave it: the owner of the key, and the user who recorded it."""
        return frozenset({_person(self.facts.approver), _person(self.entry.actor)})


def approve(
    ledger: "Ledger", model: ModelRegistered, opinion: Opinion, key: SigningKey, actor: str, policy: PromotionPolicy
) -> Entry:
    """Records a signed approval or rejection; the approver is the owner of the key.

    Raises:
        ParamsError: no reason is given.
        SigningError: the key is not trusted with the role approver, or the policy lets its owner not approve this.
        LedgerError: the ledger does not answer, or another process holds the model's lock for long.
    """
    if not opinion.reason.strip():
        raise ParamsError("--reason: say why", expected="a reason, for whoever reads the ledger", got="nothing")
    with model_lock(ledger, model.name):  # a promotion sees it, or comes before it
        entries = list(ledger.entries(kinds=KINDS))
        owner = _approver(entries, key).owner
        if opinion.verdict == "approve" and policy.separate_duties:
            _check_duties(_makers(entries, model.model_sha256), owner, actor, key.keyid)
        facts = ApprovalFacts(
            model=model.name,
            model_sha256=model.model_sha256,
            approver=owner,
            verdict=opinion.verdict,
            reason=opinion.reason,
            time=max(now_text(), *(entry.time for entry in entries)),  # a clock behind makes no statement older
        )
        envelope = sign(fact_statement(facts, APPROVAL, {model.name: model.model_sha256}), key)
        body = {**facts.model_dump(exclude={"time"}), "keyid": key.keyid, "envelope": envelope}
        return ledger.append(ApprovalRecorded.model_validate(body), actor)


def counted(entries: Iterable[Entry], model_sha256: str, policy: PromotionPolicy) -> Approvals:
    """What approvals of a model come to at the end of `entries`, which are the ledger's from its first (`KINDS`).

    Each signature is verified with the key as it was trusted when the approval was recorded. A person's last word
    counts; with separate duties, not that of anybody who ran what made the model.
    """
    known = [entry for entry in entries if entry.kind in KINDS]
    refused: list[str] = []
    words: dict[str, _Word] = {}
    seen: list[dict[str, Any]] = []
    for entry, body in approvals(known, model_sha256):
        try:
            word = _verified(known, entry, body)
            earlier = words.get(_person(word.facts.approver))
            if body.envelope in seen or (earlier is not None and word.facts.time < earlier.facts.time):
                raise SigningError("an older statement, recorded again")
            seen.append(body.envelope)
            words[_person(word.facts.approver)] = word
        except (SigningError, RecordError) as error:
            refused.append(f"entry {entry.sequence} of {body.approver} does not count: {error.what}")
    makers = _makers(known, model_sha256)
    return _count(list(words.values()), makers, policy, refused)


def complaints(entries: Iterable[Entry], intent: PromotionIntended, policy: PromotionPolicy) -> tuple[str, ...]:
    """What a promotion does that its policy does not allow, as sentences; `entries` are those before the intent.

    Nobody's standing rejection may be passed over, however the promotion came about. A gate may promote alone only
    where no approvals are asked for; a rollback, whose version has served before, needs none.
    """
    found = counted(entries, intent.model_sha256, policy)
    problems = list(found.rejected)
    if intent.cause == "gate" and policy.approvals:
        problems.append(f"the gate alone may not promote it: the policy asks for {policy.approvals} approvals")
    if intent.cause == "approved":
        named = set(intent.approvals)
        if foreign := sorted(named - set(found.granted)):
            problems.append(f"approvals that do not count: entries {', '.join(map(str, foreign))}")
            problems += found.refused
        if len(named) < policy.approvals:
            problems.append(f"it names {len(named)} of {policy.approvals} approvals")
    return tuple(problems)


def _count(words: Sequence[_Word], makers: _Makers, policy: PromotionPolicy, refused: list[str]) -> Approvals:
    rejected, counting, keys = [], [], set[str]()
    for word in words:
        if word.facts.verdict == "reject":
            rejected.append(f"{word.facts.approver} rejects it: {word.facts.reason}")
        elif policy.separate_duties and (why := _conflict(word.names, word.keyid, makers)):
            refused.append(f"the approval of {word.facts.approver} does not count: {why}")
        elif word.keyid in keys:
            refused.append(f"the approval of {word.facts.approver} does not count: its key has approved already")
        else:
            counting.append(word)
            keys.add(word.keyid)
    return Approvals(
        policy.approvals,
        tuple(word.entry.sequence for word in counting),
        tuple(word.facts.approver for word in counting),
        tuple(rejected),
        tuple(refused),
    )


def _verified(entries: Sequence[Entry], entry: Entry, body: ApprovalRecorded) -> _Word:
    """An approval whose envelope says what the entry says, signed by a key that was an approver's then.

    Raises:
        SigningError, RecordError: it is not so.
    """
    where = f"the approval in entry {entry.sequence}"
    keys = trusted_keys(e for e in entries if e.sequence < entry.sequence)
    approvers = {keyid: key for keyid, key in keys.items() if key.may("approver")}
    signed = verify(body.envelope, {keyid: key.public for keyid, key in approvers.items()}, where)
    facts = read_facts(signed.payload, ApprovalFacts, APPROVAL, where)
    said = {**facts.model_dump(exclude={"time"}), "keyid": signed.keyid}
    if said != body.model_dump(exclude={"envelope"}):
        raise SigningError(f"{where}: what was signed is something else")
    if facts.model_sha256 not in {digest for _, digest in subject_digests(signed.payload)}:
        raise SigningError(f"{where}: the statement is about something else")
    owner = approvers[signed.keyid].owner
    if _person(owner) != _person(facts.approver):
        raise SigningError(f"{where}: it speaks for {facts.approver}, and its key is that of {owner}")
    return _Word(entry, facts, signed.keyid)


def _makers(entries: Sequence[Entry], model_sha256: str) -> _Makers:
    owners: Mapping[str, TrustedKey] = trusted_keys(entries)
    runs = [(e, body) for e, body in bodies(entries, RunRecorded) if body.model_sha256 == model_sha256]
    versions = [e for e, body in bodies(entries, ModelRegistered) if body.model_sha256 == model_sha256]
    keyids = frozenset(body.keyid for _, body in runs)
    names = [entry.actor for entry, _ in runs] + [entry.actor for entry in versions]
    names += [owners[keyid].owner for keyid in keyids if keyid in owners]
    return _Makers(frozenset(map(_person, names)), keyids, tuple(body.run_id for _, body in runs))


def _conflict(names: Iterable[str], keyid: str, makers: _Makers) -> str | None:
    """Why somebody may not approve; None if they may."""
    if not makers.runs:
        return "no run that made this model is recorded, so nobody knows who trained it"
    if keyid in makers.keyids:
        return f"the key has signed the run that made it ({makers.runs[-1]})"
    if shared := sorted(set(names) & makers.names):
        return f"{shared[0]} ran what made it ({makers.runs[-1]})"
    return None


def _way_out(owner: str, actor: str, keyid: str, makers: _Makers) -> str:
    """What somebody with a conflict can do."""
    if not makers.runs:
        return "wait until the run that made it has ended; or reject the model: --reject"
    if keyid in makers.keyids:
        return "sign with a key that no run signs with: --key FILE; or ask another approver, or reject it: --reject"
    if _person(owner) in makers.names:
        return "ask an approver who works from another account, with a key of their own; or reject it: --reject"
    return (
        f"approve from another account than {actor}; where {actor} is a service account that approves for {owner}, "
        f"say so: {ACTOR_VARIABLE}={shlex.quote(owner)}"
    )


def _check_duties(makers: _Makers, owner: str, actor: str, keyid: str) -> None:
    if why := _conflict({_person(owner), _person(actor)}, keyid, makers):
        raise SigningError(
            f"{owner} may not approve this model",
            expected="somebody who did not train it, with a key of their own (promotion.separate_duties)",
            got=why,
            fix=_way_out(owner, actor, keyid, makers),
        )


def _approver(entries: Sequence[Entry], key: SigningKey) -> TrustedKey:
    found = trusted_keys(entries).get(key.keyid)
    if found is None or not found.may("approver"):
        state = "not trusted" if found is None else f"revoked {found.revoked_at}" if found.revoked_at else "trusted"
        roles = f" as {', '.join(found.roles)}" if found and not found.revoked_at else ""
        raise SigningError(
            f"key {key.keyid[:16]} may not approve",
            expected="a key that is trusted with the role approver",
            got=f"{state}{roles}",
            fix="an admin of the ledger trusts it: worldmodel audit trust FILE.pub --owner NAME --role approver",
        )
    return found


def _person(name: str) -> str:
    """A name as people are told apart: case and blanks do not make another person."""
    return " ".join(name.split()).casefold()
