"""Anchors: signed heads of the ledger, kept where the ledger's keeper cannot quietly change them.

A chain alone cannot show that its end was cut off. So each run's ref and `refs/worldmodel/ledger` hold heads, each
signed: sequence number and hash of an entry. A ledger that has no such entry is not the one that was signed.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.git import git
from flows.ledger.store import Ledger
from flows.signing.dsse import Envelope, envelope_bytes, sign, verify
from flows.signing.keys import PublicKey, SigningKey
from flows.signing.statements import HEAD, HeadFacts, fact_statement, read_facts
from flows.workspace import RUN_REFS
from worldmodel.errors import LedgerError, WorkspaceError

HEAD_NAME = "records/ledger-head.json"
LEDGER_REF = "refs/worldmodel/ledger"
_ATTEMPTS = 20
_AS_IT_IS = {"GIT_NO_REPLACE_OBJECTS": "1"}  # `git replace` would show other objects than the ref leads to


@dataclass(frozen=True)
class Anchor:
    """A signed head as it was found, not verified; `{}` where there is something else.

    Attributes:
        where: the ref or commit.
    """

    where: str
    envelope: Envelope


def signed_head(ledger: Ledger, key: SigningKey) -> Envelope:
    """The ledger's last entry, signed.

    Raises:
        LedgerError: there is none.
    """
    return _signed(_head(ledger), key)


def anchor(checkout: Path, ledger: Ledger, key: SigningKey) -> HeadFacts:
    """Puts the signed head on `refs/worldmodel/ledger` as a commit after the one before, unless it is there.

    Raises:
        LedgerError: the ledger is empty.
        WorkspaceError: git failed, or others kept moving the ref.
    """
    folder, name = HEAD_NAME.split("/")
    for _ in range(_ATTEMPTS):
        before = _resolve(checkout, LEDGER_REF)
        head = _head(ledger)
        text = envelope_bytes(_signed(head, key)).decode()
        blob = git(checkout, "hash-object", "-w", "--stdin", stdin=text)
        inner = git(checkout, "mktree", stdin=f"100644 blob {blob}\t{name}\n")
        tree = git(checkout, "mktree", stdin=f"040000 tree {inner}\t{folder}\n")
        if before and _resolve(checkout, f"{before}^{{tree}}") == tree:
            return head
        parents = ["-p", before] if before else []
        commit = git(checkout, "commit-tree", tree, *parents, "-m", f"Head of the ledger: entry {head.sequence}")
        try:
            git(checkout, "update-ref", LEDGER_REF, commit, before or "0" * len(commit))
        except WorkspaceError:
            if _resolve(checkout, LEDGER_REF) == before:
                raise
            continue
        return head
    raise WorkspaceError(f"{LEDGER_REF}: others kept moving it", fix="worldmodel audit anchor")


def read_anchors(checkout: Path) -> list[Anchor]:
    """Every signed head of a checkout: those of the runs by id, then those of the ledger's own ref, oldest first.

    Raises:
        WorkspaceError: git failed.
    """
    refs = git(checkout, "for-each-ref", "--format=%(refname)", RUN_REFS).split()
    commits: list[str] = []
    if _resolve(checkout, LEDGER_REF):
        commits = git(checkout, "rev-list", "--reverse", LEDGER_REF, env=_AS_IT_IS).split()
    places = [*refs, *commits]
    blobs = _read_blobs(checkout, [f"{place}:{HEAD_NAME}" for place in places])
    return [Anchor(place, _envelope(blob)) for place, blob in zip(places, blobs, strict=True) if blob is not None]


def read_head(found: Anchor, keys: Mapping[str, PublicKey]) -> HeadFacts:
    """The head in an anchor, once the signature of one of `keys` verifies.

    Raises:
        SigningError: none does, or it was altered.
        RecordError: it is no head, or of a newer version.
    """
    signed = verify(found.envelope, keys, found.where)
    return read_facts(signed.payload, HeadFacts, HEAD, found.where)


def _head(ledger: Ledger) -> HeadFacts:
    head = ledger.head()
    if head is None:
        raise LedgerError(f"{ledger.url.split('@')[-1]}: an empty ledger has no head to sign")
    return HeadFacts(ledger=ledger.id, sequence=head.sequence, hash=head.hash, time=head.time)


def _signed(head: HeadFacts, key: SigningKey) -> Envelope:
    return sign(fact_statement(head, HEAD, {"ledger-head": head.hash}), key)


def _resolve(checkout: Path, name: str) -> str:
    """The object a name stands for; empty where it stands for none."""
    try:
        return git(checkout, "rev-parse", "--quiet", "--verify", name)
    except WorkspaceError:
        return ""


def _read_blobs(checkout: Path, names: list[str]) -> list[bytes | None]:
    """The bytes of blobs by one `git cat-file`; None where there is none."""
    command = ["git", "-C", str(checkout), "cat-file", "--batch"]
    given, env = "".join(f"{name}\n" for name in names).encode(), {**os.environ, **_AS_IT_IS}
    result = subprocess.run(command, input=given, capture_output=True, env=env)
    if result.returncode:
        raise WorkspaceError(f"git cat-file failed in {checkout}", got=os.fsdecode(result.stderr).strip())
    found: list[bytes | None] = []
    rest = memoryview(result.stdout)
    for _ in names:
        end = bytes(rest[:4096]).index(b"\n")
        words, rest = bytes(rest[:end]).split(b" "), rest[end + 1 :]
        if words[-1] in (b"missing", b"ambiguous"):
            found.append(None)
            continue
        size = int(words[-1])
        found.append(bytes(rest[:size]) if words[1] == b"blob" else None)
        rest = rest[size + 1 :]
    return found


def _envelope(blob: bytes) -> dict[str, Any]:
    try:
        value = json.loads(blob)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
