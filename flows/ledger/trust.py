"""Letting keys in and out of a ledger."""

from collections.abc import Sequence

from flows.ledger.bodies import KeyRevoked, KeyTrusted
from flows.ledger.entry import Entry
from flows.ledger.keys import KEY_KINDS, TrustedKey, trusted_keys
from flows.ledger.store import Ledger
from flows.signing.dsse import sign
from flows.signing.keys import PublicKey, SigningKey
from flows.signing.statements import TRUST, Role, TrustFacts, fact_statement
from worldmodel.errors import SigningError

ROOT_ROLES: tuple[Role, ...] = ("admin", "runner")
_LOCK = "keys"


def keys_of(ledger: Ledger, until: str | None = None) -> dict[str, TrustedKey]:
    """The keys a ledger trusts now or did once, by id; `until` goes by the entries up to a moment."""
    return trusted_keys(ledger.entries(kinds=KEY_KINDS, until=until))


def ensure_trusted(ledger: Ledger, key: SigningKey, actor: str) -> None:
    """Sees that a key may sign runs. An empty ledger takes its first key as the root: admin and runner.

    Raises:
        SigningError: the ledger trusts others, and not this key; or it was revoked.
    """
    if ledger.head() is None:
        with ledger.lock(_LOCK):
            _root_if_empty(ledger, key, actor)
    found = keys_of(ledger).get(key.keyid)
    if found is not None and found.may("runner"):
        return
    raise SigningError(
        f"the ledger does not let key {key.keyid[:16]} sign runs",
        expected="a key that it trusts as a runner's",
        got=_why_not(found),
        fix="somebody whose key is an admin's: worldmodel audit trust FILE.pub --owner NAME --role runner",
    )


def trust(
    ledger: Ledger, admin_key: SigningKey, public: PublicKey, owner: str, roles: Sequence[Role], actor: str
) -> Entry:
    """Lets a key sign in `roles` from now on; for one that may already, these become its roles.

    An empty ledger takes `admin_key` as its root first.

    Raises:
        SigningError: `admin_key` is not an admin's, no owner or role is given, or the key was revoked.
    """
    if not owner.strip() or not roles:
        raise SigningError("a key is trusted as somebody's, for something", expected="an owner and at least one role")
    with ledger.lock(_LOCK):
        _root_if_empty(ledger, admin_key, actor)
        keys = keys_of(ledger)
        _require_admin(keys, admin_key)
        before = keys.get(public.keyid)
        if before is not None and before.revoked_at is not None:
            what = f"key {public.keyid[:16]} was revoked, and stays so"
            raise SigningError(what, got=_why_not(before), fix="make another: worldmodel audit keygen --out FILE")
        if before is not None and before.may("admin") and "admin" not in roles:
            _require_another_admin(keys, public.keyid)
        return ledger.append(_vouched(admin_key, public, owner, tuple(dict.fromkeys(roles))), actor)


def revoke(ledger: Ledger, admin_key: SigningKey, keyid: str, reason: str, actor: str) -> Entry:
    """Takes a key out: what it signs from now on counts for nothing.

    Raises:
        SigningError: `admin_key` is not an admin's; the key is unknown, revoked already, or the last of an admin.
    """
    with ledger.lock(_LOCK):
        keys = keys_of(ledger)
        _require_admin(keys, admin_key)
        found = keys.get(keyid)
        if found is None or found.revoked_at is not None:
            raise SigningError(f"key {keyid[:16]} cannot be revoked", expected="a trusted key", got=_why_not(found))
        if found.may("admin"):
            _require_another_admin(keys, keyid)
        return ledger.append(KeyRevoked(keyid=keyid, reason=reason), actor)


def _root_if_empty(ledger: Ledger, key: SigningKey, actor: str) -> None:
    if ledger.head() is None:
        ledger.append(_vouched(key, key.public, actor, ROOT_ROLES), actor)


def _vouched(signer: SigningKey, public: PublicKey, owner: str, roles: tuple[Role, ...]) -> KeyTrusted:
    facts = TrustFacts(keyid=public.keyid, public_key=public.pem, owner=owner, roles=roles)
    envelope = sign(fact_statement(facts, TRUST, {"key": public.keyid}), signer)
    return KeyTrusted(keyid=public.keyid, public_key=public.pem, owner=owner, roles=roles, envelope=envelope)


def _require_admin(keys: dict[str, TrustedKey], key: SigningKey) -> None:
    found = keys.get(key.keyid)
    if found is None or not found.may("admin"):
        admins = ", ".join(f"{k.keyid[:16]} ({k.owner})" for k in keys.values() if k.may("admin"))
        raise SigningError(
            f"key {key.keyid[:16]} may not let keys in or out",
            expected=f"a key of an admin: {admins or 'the ledger has none; the first run makes one'}",
            got=_why_not(found),
            fix="name an admin's key: WORLDMODEL_SIGNING_KEY=FILE",
        )


def _require_another_admin(keys: dict[str, TrustedKey], keyid: str) -> None:
    if not any(key.may("admin") for key in keys.values() if key.keyid != keyid):
        raise SigningError(
            f"key {keyid[:16]} is the last of an admin: without it no key could ever be let in again",
            fix="trust another first: worldmodel audit trust FILE.pub --owner NAME --role admin",
        )


def _why_not(key: TrustedKey | None) -> str:
    if key is None:
        return "a key that it does not know"
    if key.revoked_at is not None:
        return f"revoked at {key.revoked_at}: {key.revoked_because}"
    return f"{key.owner}'s key, trusted as {' and '.join(key.roles)}"
