"""Whose signatures count: the keys a ledger trusts, each by the word of an admin's key, back to the first entry.

Only proofs count: an entry that trusts a key without the signature of a key that was an admin's then trusts nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flows.audit.finding import Finding
from flows.ledger.bodies import KIND_OF, KeyRevoked, KeyTrusted
from flows.ledger.entry import Entry
from flows.ledger.reading import body_of
from flows.signing.dsse import verify
from flows.signing.keys import PublicKey, public_key
from flows.signing.statements import TRUST, TrustFacts, read_facts
from worldmodel.errors import LedgerError, RecordError, SigningError

KEY_KINDS = (KIND_OF[KeyTrusted], KIND_OF[KeyRevoked])


@dataclass(frozen=True)
class TrustedKey:
    """A key, whose it is and what for.

    Attributes:
        since, sequence: of the entry that trusts it (the newest, where its roles have changed).
        first: number of the first entry that trusted it.
        revoked_at, revoked_sequence: of the entry that revoked it; what it signed after that does not count.
        revoked_because: the reason given.
    """

    public: PublicKey
    owner: str
    roles: tuple[str, ...]
    since: str
    sequence: int
    first: int
    revoked_at: str | None = None
    revoked_sequence: int | None = None
    revoked_because: str = ""

    @property
    def keyid(self) -> str:
        """The key's id."""
        return self.public.keyid

    def may(self, role: str) -> bool:
        """Whether it may sign in this role now."""
        return role in self.roles and self.revoked_at is None


def trusted_keys(entries: Iterable[Entry], roots: tuple[str, ...] = ()) -> dict[str, TrustedKey]:
    """The keys that are or were trusted, by id, revoked ones included.

    Args:
        entries: in order; other kinds than those of keys are passed over.
        roots: ids that the first key must be one of; none: whichever it is.
    """
    return _follow(entries, roots)[0]


def key_findings(entries: Iterable[Entry], roots: tuple[str, ...] = ()) -> list[Finding]:
    """What does not hold in the chain of trust: entries that trust or revoke a key without the right to."""
    return _follow(entries, roots)[1]


def _follow(entries: Iterable[Entry], roots: tuple[str, ...]) -> tuple[dict[str, TrustedKey], list[Finding]]:
    keys: dict[str, TrustedKey] = {}
    findings: list[Finding] = []
    for entry in entries:
        if entry.body is None or entry.kind not in KEY_KINDS:
            continue
        try:
            found = _trusted(entry, keys, roots) if entry.kind == KEY_KINDS[0] else _revoked(entry, keys)
        except (SigningError, RecordError, LedgerError) as error:
            sentence = "; ".join(filter(None, (error.what, error.expected and f"expected {error.expected}", error.got)))
            findings.append(Finding(what="key/not-proven", where=f"ledger entry {entry.sequence}", sentence=sentence))
        else:
            keys[found.keyid] = found
    return keys, findings


def _trusted(entry: Entry, keys: Mapping[str, TrustedKey], roots: tuple[str, ...]) -> TrustedKey:
    body, where = body_of(entry, KeyTrusted), f"ledger entry {entry.sequence}"
    public = public_key(body.public_key, where)
    if not keys:
        signers = _root(entry, public, roots)
    else:
        signers = {keyid: key.public for keyid, key in keys.items() if key.may("admin")}
    facts = read_facts(verify(body.envelope, signers, where).payload, TrustFacts, TRUST, where)
    if facts.model_dump() != body.model_dump(exclude={"envelope"}) or public.keyid != body.keyid:
        raise SigningError(f"{where}: trusts another key, owner or role than was signed", got=body.keyid[:16])
    before = keys.get(public.keyid)
    if before is not None and before.revoked_at is not None:
        raise SigningError(f"{where}: trusts a key that was revoked in entry {before.revoked_sequence}")
    first = before.first if before else entry.sequence
    return TrustedKey(public, body.owner, body.roles, entry.time, entry.sequence, first)


def _root(entry: Entry, public: PublicKey, roots: tuple[str, ...]) -> dict[str, PublicKey]:
    """The first key, which vouches for itself."""
    if entry.sequence != 1:
        what = "the first key is trusted in the first entry, or not at all"
        raise SigningError(what, got=f"entry {entry.sequence}")
    if roots and public.keyid not in roots:
        raise SigningError(
            "the ledger's first key is not the one you trust",
            expected=" or ".join(keyid[:16] for keyid in roots),
            got=public.keyid[:16],
        )
    return {public.keyid: public}


def _revoked(entry: Entry, keys: Mapping[str, TrustedKey]) -> TrustedKey:
    body = body_of(entry, KeyRevoked)
    key = keys.get(body.keyid)
    if key is None:
        raise LedgerError(f"ledger entry {entry.sequence}: revokes a key that nobody trusted", got=body.keyid[:16])
    if key.revoked_at is not None:
        return key
    return replace(key, revoked_at=entry.time, revoked_sequence=entry.sequence, revoked_because=body.reason)
