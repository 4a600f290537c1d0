"""The ledger as the rest of the walk uses it: its entries in order, its signed heads, and bodies that make sense."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from evaluation.base import Record
from flows.audit.verify.evidence import Evidence
from flows.audit.verify.keyring import Keyring, Signers, opened
from flows.audit.verify.tally import DAMAGE, Tally
from flows.ledger.anchors import Anchor
from flows.ledger.bodies import BODIES, AliasObserved, ApprovalRecorded, LedgerRestored, RetentionDeleted
from flows.ledger.entry import Entry
from flows.signing.dsse import unverified
from flows.signing.keys import PublicKey
from flows.signing.statements import APPROVAL, HEAD, ApprovalFacts, HeadFacts, read_facts


@dataclass(frozen=True)
class Told:
    """An entry whose body is as its kind has it."""

    entry: Entry
    body: Record

    @property
    def where(self) -> str:
        """The entry in people's words."""
        return f"ledger entry {self.entry.sequence} ({self.entry.kind})"


@dataclass
class Tombstones:
    """What retention has deleted: digests, and paths below the state directory."""

    digests: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    def cover(self, path: str) -> bool:
        """Whether a path, or a folder around it, was deleted."""
        parts = path.split("/")
        return any("/".join(parts[:n]) in self.paths for n in range(1, len(parts) + 1))


def read_entries(evidence: Evidence, tally: Tally) -> list[Entry]:
    """The entries, as far as they can be read."""
    entries: list[Entry] = []
    rows = iter(evidence.entries)
    try:
        for entry in rows:
            entries.append(entry)
    except DAMAGE as error:
        after = f"after entry {entries[-1].sequence}" if entries else "entry 1"
        said = str(error).splitlines()[0]
        tally.found("ledger/unreadable", f"ledger, {after}", f"the entry, and any that follow, cannot be read: {said}")
    tally.count = len(entries)
    return entries


def check_heads(anchors: Iterable[Anchor], ring: Keyring, tally: Tally) -> list[HeadFacts]:
    """The heads that a key trusted as a runner's or an admin's then has signed: admins sign after they let keys in."""
    heads = []
    for anchor in anchors:
        claimed = tally.attempt("head/unreadable", anchor.where, _head, anchor)
        if claimed is None:
            continue
        if opened(anchor.envelope, ring.at(claimed.sequence, "runner", "admin"), anchor.where, tally) is not None:
            heads.append(claimed)
    return heads


def check_lost(anchors: list[Anchor], roots: Mapping[str, PublicKey], tally: Tally) -> None:
    """What signed heads say of a ledger that has no entry: that it was there, by the word of the roots' own keys."""
    foreign, last = 0, 0
    for anchor in anchors:
        claimed = tally.attempt("head/unreadable", anchor.where, unverified, anchor.envelope, anchor.where)
        if claimed is None:
            continue
        if not {str(one.get("keyid")) for one in anchor.envelope["signatures"]} & set(roots):
            foreign += 1
        elif opened(anchor.envelope, Signers(roots), anchor.where, tally) is not None:
            head = tally.attempt("head/unreadable", anchor.where, _head, anchor)
            last = max(last, head.sequence if head is not None else 0)
    if last:
        said = f"the ledger is gone or empty, git has heads up to {last}; worldmodel audit restore FILE"
    else:
        said = "the ledger is gone or empty, git has heads that the given key did not sign; name the root's: --key"
    tally.found("ledger/lost", "ledger", said)
    if foreign and last:
        tally.note("signed heads", f"{foreign} are signed by other keys, which only the ledger can vouch for")
    tally.note("ledger", "runs, records and promotions rest on it: they were not checked")


def _head(anchor: Anchor) -> HeadFacts:
    return read_facts(unverified(anchor.envelope, anchor.where), HeadFacts, HEAD, anchor.where)


def read_bodies(entries: list[Entry], complete: bool, tally: Tally) -> list[Told]:
    """The entries with a body; `complete` says that none may be left out."""
    told = []
    for entry in entries:
        where = f"ledger entry {entry.sequence} ({entry.kind})"
        kind = BODIES.get(entry.kind)  # type: ignore[call-overload]
        if kind is None:
            tally.found("ledger/unknown-kind", where, f"expected one of {len(BODIES)} kinds, got {entry.kind}")
        elif entry.body is None:
            if complete:
                tally.found("ledger/no-body", where, "the body is gone")
        else:
            tally.count += 1
            body = tally.attempt("ledger/body", where, kind.model_validate, entry.body)
            if body is not None:
                told.append(Told(entry, body))
    return told


def tell(told: list[Told], tally: Tally) -> None:
    """Notes what the ledger itself says of troubles."""
    for one in told:
        if isinstance(one.body, AliasObserved):
            body = one.body
            tally.note(
                one.where,
                f"the alias of {body.name} stood at version {body.found_version or 'none'} and not, as recorded, at "
                f"{body.recorded_version or 'none'}",
            )
        elif isinstance(one.body, LedgerRestored):
            lost = ", ".join(map(str, one.body.lost)) or "none"
            tally.note(one.where, f"restored from a backup that ended at {one.body.sequence}; entries lost: {lost}")


def tombstones(told: list[Told]) -> Tombstones:
    """What the ledger says that retention has deleted."""
    found = Tombstones()
    for one in told:
        if isinstance(one.body, RetentionDeleted):
            found.paths |= {item.path for item in one.body.items}
            found.digests |= {item.digest for item in one.body.items if item.digest}
    return found


def check_approvals(told: list[Told], ring: Keyring, tally: Tally) -> set[int]:
    """The sequences of approvals that an approver of that time has signed, and that say what was signed."""
    good = set()
    for one in told:
        body = one.body
        if not isinstance(body, ApprovalRecorded):
            continue
        payload = opened(body.envelope, ring.at(one.entry.sequence, "approver"), one.where, tally)
        if payload is None:
            continue
        facts = tally.attempt("approval/unreadable", one.where, _approval, payload, one)
        said = {name: getattr(body, name) for name in ("model", "model_sha256", "approver", "verdict", "reason")}
        if facts is not None and tally.same(
            "approval/changed", one.where, "what was signed", facts.model_dump(exclude={"time"}), said
        ):
            good.add(one.entry.sequence)
    return good


def _approval(payload: dict[str, object], one: Told) -> ApprovalFacts:
    return read_facts(payload, ApprovalFacts, APPROVAL, one.where)
