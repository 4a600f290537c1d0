"""The commands about keys and the ledger: `keygen`, `keys`, `trust`, `revoke`, `ledger`, `backup`, `restore`, `anchor`.

They are below `worldmodel audit`, and sign with the key of this user (`flows.signing.keys.signing_key_path`).
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout
from flows.ledger.anchors import LEDGER_REF, anchor, read_anchors
from flows.ledger.backup import backup, restore
from flows.ledger.bodies import BODIES
from flows.ledger.entry import KINDS, Entry, Kind
from flows.ledger.keys import TrustedKey
from flows.ledger.store import Ledger, ledger_url
from flows.ledger.trust import keys_of
from flows.ledger.trust import revoke as revoke_key
from flows.ledger.trust import trust as trust_key
from flows.signing.keys import KEY_VARIABLE, actor, load_key, make_key, read_public, signing_key, signing_key_path
from flows.signing.statements import Role
from flows.stores import parse_time
from worldmodel.errors import ParamsError, SigningError

ROLES: tuple[Role, ...] = ("admin", "runner", "approver")
_WIDTH, _SHORT = 80, 16
_LONG = re.compile(r"[0-9a-f]{40,}")
_UNSAID = ("envelope", "public_key")


def keygen(out: Path | None, *, as_json: bool) -> int:
    """Makes a key and says where it is; the private half is never printed.

    Args:
        out: where the private half goes; None: where this user's key is looked for.
        as_json: one document on standard output.

    Raises:
        SigningError: there is a file already, or the place cannot be written.
    """
    path = signing_key_path() if out is None else out
    try:
        key = make_key(path)
    except OSError as error:
        if not isinstance(error, FileExistsError) or (path.parent.exists() and not path.parent.is_dir()):
            raise SigningError(f"{path}: the key cannot be written", got=error.strerror or str(error)) from None
        fix = "name another place: --out FILE; or go on with the key that is there"
        raise SigningError(f"{path}: there is a key already, and keys are never replaced", fix=fix) from None
    public = path.with_name(f"{path.name}.pub")
    if as_json:
        print_json({"keyid": key.keyid, "public": public, "private": path})
        return 0
    print(f"key      {key.keyid}\npublic   {public}\nprivate  {path} (yours alone; keep a copy in a safe place)")
    if path.absolute() != signing_key_path().absolute():
        print(f"to sign with it: {KEY_VARIABLE}={path}")
    return 0


def list_keys(at: str | None, *, as_json: bool) -> int:
    """The keys that the ledger trusts, and those it did."""
    with _ledger() as ledger:
        keys = list(keys_of(ledger, at and parse_time(at)).values())
    if as_json:
        print_json([_key_facts(key) for key in keys])
        return 0
    table = _table("key", "owner", "may", "since", "revoked")
    for key in keys:
        revoked = f"{_moment(key.revoked_at)}: {key.revoked_because}" if key.revoked_at else ""
        row = (key.keyid[:_SHORT], key.owner, ", ".join(key.roles), _moment(key.since), revoked)
        table.add_row(*map(escape, row))
    _print(table if keys else "the ledger trusts no key yet: the first run, or `worldmodel audit trust`, makes it")
    return 0


def trust(public: Path, owner: str, roles: Sequence[str], *, as_json: bool) -> int:
    """Lets the key in a .pub file sign, by the word of this user's key.

    Args:
        public: the file.
        owner: whose key it is.
        roles: admin (lets keys in and out), runner (signs runs), approver (approves models).
        as_json: one document on standard output.

    Raises:
        ParamsError: an unknown role.
        SigningError: this user's key is not an admin's, or the file holds no key.
    """
    given = [role for role in ROLES if role in roles]
    if unknown := set(roles) - set(ROLES):
        raise ParamsError("no such role", expected=" or ".join(ROLES), got=", ".join(sorted(unknown)))
    key = read_public(public)
    with _ledger() as ledger:
        signer = signing_key()
        entry = trust_key(ledger, signer, key, owner, given, actor())
        anchor(find_checkout(Path.cwd()), ledger, signer)
    if as_json:
        print_json({"keyid": key.keyid, "owner": owner, "roles": given, "entry": entry.sequence})
    else:
        print(f"key {key.keyid[:_SHORT]} of {owner} may sign as {' and '.join(given)}: entry {entry.sequence}")
    return 0


def revoke(keyid: str, reason: str, *, as_json: bool) -> int:
    """Takes a key out, by the word of this user's key.

    Args:
        keyid: the key's id or a unique start of it.
        reason: why.
        as_json: one document on standard output.

    Raises:
        SigningError: no or several keys begin so; this user's key is not an admin's; it is the last of an admin.
    """
    with _ledger() as ledger:
        known = keys_of(ledger)
        matches = [name for name in known if name.startswith(keyid)] if len(keyid) >= 4 else []
        if len(matches) != 1:
            got = ", ".join(name[:_SHORT] for name in matches or known) or "the ledger trusts no key"
            what = f"{'several keys begin' if matches else 'no key begins'} with {keyid!r}"
            raise SigningError(what, expected="an id, or 4 characters of it or more", got=got)
        signer = load_key(signing_key_path())
        entry = revoke_key(ledger, signer, matches[0], reason, actor())
        if matches[0] != signer.keyid:  # what it signed from now on would not count
            anchor(find_checkout(Path.cwd()), ledger, signer)
    if as_json:
        print_json({"keyid": matches[0], "reason": reason, "entry": entry.sequence, "time": entry.time})
    else:
        print(f"key {matches[0][:_SHORT]} is revoked: what it signs from now on does not count")
    return 0


def list_entries(kinds: Sequence[str], limit: int, at: str | None, *, as_json: bool) -> int:
    """The newest entries of the ledger, oldest of them first.

    Args:
        kinds: only these; none: all.
        limit: how many.
        at: only those of up to this moment.
        as_json: whole entries as one document on standard output.

    Raises:
        ParamsError: an unknown kind, or no moment.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ParamsError("no such kind of entry", expected=", ".join(KINDS), got=", ".join(sorted(unknown)))
    with _ledger() as ledger:
        newest = ledger.newest(limit, kinds=kinds, until=at and parse_time(at))
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in newest])
        return 0
    table = _table("entry", "time (UTC)", "who", "what")
    for entry in newest:
        what = f"[bold]{entry.kind}[/] {escape(said(entry))}"
        table.add_row(str(entry.sequence), _moment(entry.time), escape(entry.actor), what)
    _print(table if newest else "nothing is recorded yet")
    return 0


def said(entry: Entry) -> str:
    """An entry's body in one line: short facts by name, digests shortened."""
    body = entry.body or {}
    known = BODIES[cast(Kind, entry.kind)].model_fields if entry.kind in KINDS else {}
    names = [*(name for name in known if name in body), *(name for name in body if name not in known)]
    return ", ".join(f"{name} {_short(body[name])}" for name in names if _is_told(name, body[name]))


def _is_told(name: str, value: Any) -> bool:
    return name not in _UNSAID and value not in (None, "", [], {}, False)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)}" if value and isinstance(value[0], dict) else " ".join(map(_short, value))
    if isinstance(value, dict):
        return " ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    return _LONG.sub(lambda match: match[0][:12], str(value))


def backup_ledger(path: Path, *, as_json: bool) -> int:
    """Writes the ledger to a file.

    Raises:
        LedgerError: it is empty, or does not hold together; a file that is there stays as it is.
    """
    with _ledger() as ledger:
        header = backup(ledger, path)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if as_json:
        print_json({**header.model_dump(mode="json"), "path": path, "sha256": sha256})
    else:
        print(f"{path}: {header.sequence} entries, up to {header.time}; sha256 {sha256}")
    return 0


def restore_ledger(path: Path, *, as_json: bool) -> int:
    """Fills this checkout's empty ledger from a backup, and says what is lost.

    Raises:
        LedgerError: the file is damaged, does not hold together or contradicts a signed head; or the ledger has
            entries.
    """
    checkout = find_checkout(Path.cwd())
    done = restore(path, ledger_url(state_dir(checkout)), read_anchors(checkout), actor())
    if as_json:
        print_json(done.model_dump(mode="json"))
        return 0
    print(f"{done.header.sequence} entries are back, up to {done.header.time}; entry {done.entry} records it")
    if done.lost:
        print(f"lost: what led to the signed heads {', '.join(map(str, done.lost))}. Is there a later backup?")
    if done.passed_over:
        print(f"{len(done.passed_over)} signed heads are not of a key or ledger in this backup, so they say nothing")
    return 0


def anchor_head(*, as_json: bool) -> int:
    """Signs the ledger's head and puts it on its git ref.

    Raises:
        LedgerError: the ledger is empty.
        SigningError: the ledger trusts this user's key as no runner's or admin's.
    """
    checkout = find_checkout(Path.cwd())
    with _ledger() as ledger:
        key = load_key(signing_key_path())
        found = keys_of(ledger).get(key.keyid)
        if found is None or not (found.may("runner") or found.may("admin")):
            what = f"the ledger trusts key {key.keyid[:_SHORT]} for no heads: nobody would believe what it signs"
            raise SigningError(what, fix=f"name a key that it trusts: {KEY_VARIABLE}=FILE (worldmodel audit keys)")
        head = anchor(checkout, ledger, key)
    if as_json:
        print_json({"ref": LEDGER_REF, **head.model_dump(mode="json")})
    else:
        print(f"{LEDGER_REF} holds entry {head.sequence}, {head.hash[:_SHORT]}; push it where others keep it")
    return 0


@contextmanager
def _ledger() -> Iterator[Ledger]:
    ledger = Ledger.open(ledger_url(state_dir(find_checkout(Path.cwd()))))
    try:
        yield ledger
    finally:
        ledger.close()


def _key_facts(key: TrustedKey) -> dict[str, Any]:
    revoked = {"revoked_at": key.revoked_at, "revoked_because": key.revoked_because or None}
    return {"keyid": key.keyid, "owner": key.owner, "roles": key.roles, "since": key.since, **revoked}


def _moment(time: str | None) -> str:
    return (time or "")[:19].replace("T", " ")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in ("entry", "key", "time (UTC)"), overflow="fold")
    return table


def _print(what: Table | str) -> None:
    Console(highlight=False, width=_WIDTH).print(what)
