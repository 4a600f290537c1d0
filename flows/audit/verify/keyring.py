"""Whose signature counted for what, and when; and opening envelopes with that."""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flows.audit.verify.tally import DAMAGE, Tally, shown
from flows.ledger.entry import Entry
from flows.ledger.keys import KEY_KINDS, TrustedKey, key_findings, trusted_keys
from flows.signing.dsse import unverified, verify
from flows.signing.keys import PublicKey
from flows.signing.statements import Role
from worldmodel.errors import SigningError


@dataclass(frozen=True)
class Signers:
    """Whose signatures count for one envelope (`keys`), and which keys were ever trusted at all (`known`)."""

    keys: Mapping[str, PublicKey]
    known: Iterable[str] = ()


class Keyring:
    """The keys that a ledger trusts, as they stood when any of its entries was written."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = [entry for entry in entries if entry.kind in KEY_KINDS]
        self._sequences = [entry.sequence for entry in self._entries]
        self._after = lru_cache(maxsize=None)(self._follow)

    def at(self, sequence: int, *roles: Role) -> Signers:
        """The keys that counted for one of `roles` once the entry `sequence` was written."""
        standing = self._after(bisect.bisect_right(self._sequences, sequence))
        keys = {keyid: key.public for keyid, key in standing.items() if any(map(key.may, roles))}
        return Signers(keys, self._after(len(self._entries)).keys())

    def _follow(self, count: int) -> dict[str, TrustedKey]:
        return trusted_keys(self._entries[:count])


def check_keys(entries: list[Entry], roots: tuple[str, ...], tally: Tally) -> Keyring:
    """The keyring of a ledger, from its root of trust on, which must be one of `roots`.

    Where it is another that is a finding, and the rest is checked against the ledger's own keys all the same: what does
    not even hold by its own word is named too.
    """
    tally.count += sum(entry.kind in KEY_KINDS for entry in entries)
    tally.findings += key_findings(entries, roots)
    ring = Keyring(sorted(entries, key=lambda entry: entry.sequence))
    if not ring.at(1, "admin").keys:
        got = f"{entries[0].kind} in entry {entries[0].sequence}" if entries else "an empty ledger"
        tally.found("key/no-root", "ledger entry 1", f"expected a first key that signs for itself, got {got}")
    return ring


def opened(envelope: Any, signers: Signers, where: str, tally: Tally) -> dict[str, Any] | None:
    """The payload of an envelope whose signature verifies and counts; None, and a finding that names why not."""
    tally.count += 1
    try:
        unverified(envelope, where)
        signed_by = {str(signature.get("keyid")) for signature in envelope["signatures"]}
    except DAMAGE as error:
        tally.found("signature/unreadable", where, f"not a signed envelope: {_first_line(error)}")
        return None
    try:
        return verify(envelope, signers.keys, where).payload
    except (SigningError, ValueError) as error:
        tally.found(*_refused(signed_by, signers, where, error))
        return None


def _refused(signed_by: set[str], signers: Signers, where: str, error: Exception) -> tuple[str, str, str]:
    names = ", ".join(sorted(map(shown, signed_by))) or "nobody"
    if signed_by & set(signers.keys):
        return "signature/forged", where, f"altered since key {names} signed it, or forged ({_first_line(error)})"
    if signed_by & set(signers.known):
        return "signature/not-trusted", where, f"signed by key {names}, which did not count for this at that time"
    return "signature/unknown-key", where, f"signed by key {names}, which the ledger never trusted"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
