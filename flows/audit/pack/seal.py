"""The seal of a pack: `MANIFEST`, sha256 of every file as `sha256sum` has it, and a signed statement about it."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from evaluation.base import Record
from flows.audit.finding import Finding
from flows.manifest import file_sha256
from flows.signing.dsse import Envelope, envelope_bytes, sign, verify
from flows.signing.keys import PublicKey, SigningKey
from flows.signing.statements import fact_statement, read_facts, subject_digests
from worldmodel.errors import WorldModelError

MANIFEST_NAME, SEAL_NAME = "MANIFEST", "MANIFEST.dsse.json"
PACK = "urn:worldmodel:evidence-pack:v1"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


class PackFacts(Record):
    """What a pack is of, and where the ledger stood (its id, last entry and that one's time)."""

    name: str
    version: str
    model_sha256: str
    run_id: str
    runs: tuple[str, ...]
    ledger: str
    sequence: int
    hash: str
    time: str


def digests_of(files: Mapping[str, bytes | Path]) -> dict[str, str]:
    """sha256 by path."""
    return {
        name: file_sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        for name, content in sorted(files.items())
    }


def seal(files: Mapping[str, bytes | Path], facts: PackFacts, key: SigningKey) -> dict[str, bytes]:
    """`MANIFEST` over the files, and the signed statement about it; equal files give equal bytes."""
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in digests_of(files).items()).encode()
    statement = fact_statement(facts, PACK, {MANIFEST_NAME: hashlib.sha256(text).hexdigest()})
    return {MANIFEST_NAME: text, SEAL_NAME: envelope_bytes(sign(statement, key))}


def check_files(folder: Path) -> list[Finding]:
    """Every file that is not as `MANIFEST` has it, is gone, or is not named in it."""
    try:
        lines = (folder / MANIFEST_NAME).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        return [Finding(what="pack/manifest", where=MANIFEST_NAME, sentence=f"cannot be read: {error}")]
    matches = [_LINE.fullmatch(line) for line in lines]
    named = {match[2]: match[1] for match in matches if match is not None}
    if len(named) != len(lines) or list(named) != sorted(named):
        return [Finding(what="pack/manifest", where=MANIFEST_NAME, sentence="not a sorted list of sha256 and path")]
    return [finding for name in sorted(set(named) | _names(folder)) for finding in _check(folder, name, named)]


def _names(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    return found - {MANIFEST_NAME, SEAL_NAME}


def _check(folder: Path, name: str, named: Mapping[str, str]) -> list[Finding]:
    path = folder / name
    if name not in named:
        return [Finding(what="pack/added", where=name, sentence="the manifest of the pack does not name this file")]
    if path.is_symlink() or not path.is_file():
        return [Finding(what="pack/removed", where=name, sentence="the manifest of the pack names it; it is gone")]
    if (found := file_sha256(path)) != named[name]:
        sentence = f"altered since the pack was made: expected sha256 {named[name][:16]}, got {found[:16]}"
        return [Finding(what="pack/changed", where=name, sentence=sentence)]
    return []


def read_seal(folder: Path, keys: Mapping[str, PublicKey]) -> tuple[PackFacts | None, list[Finding]]:
    """What the pack says it is of, if one of `keys` signed that and it holds for `MANIFEST`."""
    try:
        content = (folder / SEAL_NAME).read_bytes()
        envelope: Envelope = json.loads(content)
        payload = verify(envelope, keys, SEAL_NAME).payload
        facts = read_facts(payload, PackFacts, PACK, SEAL_NAME)
        if envelope_bytes(envelope) != content or len(envelope["signatures"]) != 1 or len(envelope) != 3:
            raise ValueError("another spelling than that of the one who signed")
        if subject_digests(payload) != [(MANIFEST_NAME, file_sha256(folder / MANIFEST_NAME))]:
            raise ValueError(f"{MANIFEST_NAME} is not the one that was signed")
    except (WorldModelError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sentence = f"the pack's seal does not hold: {error}"[:400]
        return None, [Finding(what="pack/seal", where=SEAL_NAME, sentence=sentence)]
    return facts, []
