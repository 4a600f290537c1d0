"""A pack, opened: an archive is unpacked into a folder of its own that goes again; a folder is read where it is."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.audit.finding import Finding
from flows.audit.pack.archive import unpack
from flows.audit.pack.contents import ANCHORS, HEAD, LEDGER, RECORDS, WEIGHTS
from flows.audit.pack.seal import PackFacts, read_seal
from flows.audit.verify.evidence import Evidence, Note, Workspace
from flows.audit.verify.tally import DAMAGE
from flows.ledger.anchors import Anchor
from flows.ledger.entry import Entry
from flows.ledger.keys import KEY_KINDS, trusted_keys
from flows.lineage.records import Records
from flows.signing.keys import PublicKey


@dataclass(frozen=True)
class OpenedPack:
    """An unpacked pack.

    Attributes:
        facts: what its seal says, None where that does not hold.
        evidence: what it puts before the verifier.
        findings: of the seal and of the archive; files are for `seal.check_files`.
    """

    folder: Path
    facts: PackFacts | None
    evidence: Evidence
    findings: tuple[Finding, ...]

    def entries(self) -> Iterator[Entry]:
        """Those of its ledger, read anew. Raises ValueError or OSError where that ends."""
        return _entries(self.folder / LEDGER)


@contextmanager
def opened_pack(path: Path) -> Iterator[OpenedPack]:
    """Opens a pack, or the folder that one was unpacked to.

    Raises:
        RecordError: it is damaged, or holds what no pack holds (see `archive.unpack`).
    """
    if path.is_dir():
        yield _opened(path, ())
        return
    with tempfile.TemporaryDirectory(prefix="worldmodel-pack-") as scratch:
        unpacked = unpack(path, Path(scratch))
        yield _opened(unpacked.folder, unpacked.repacked)


def _opened(folder: Path, repacked: tuple[str, ...]) -> OpenedPack:
    findings = [
        Finding(what="pack/repacked", where=name, sentence="the archive was packed anew by another program")
        for name in repacked[:20]
    ]
    facts, broken = read_seal(folder, _keys(folder))
    evidence = Evidence(
        entries=_entries(folder / LEDGER),
        anchors=_anchors(folder),
        records=Records(folder / RECORDS),
        runs=frozenset(facts.runs if facts is not None else Records(folder / RECORDS).run_ids()),
        workspaces=_weights(folder, facts),
        ledger_id=None if facts is None else facts.ledger,
        notes=tuple(_notes(folder)),
    )
    return OpenedPack(folder, facts, evidence, (*findings, *broken))


def _entries(path: Path) -> Iterator[Entry]:
    """The entries, one a line. Raises ValueError or OSError where that ends."""
    with path.open("rb") as lines:
        for line in lines:
            yield Entry.model_validate_json(line)


def _keys(folder: Path) -> dict[str, PublicKey]:
    """The keys that the pack's own ledger trusts at its end; whether that ledger holds is for the verifier to say."""
    try:
        found = trusted_keys(entry for entry in _entries(folder / LEDGER) if entry.kind in KEY_KINDS)
    except DAMAGE:
        return {}
    return {keyid: key.public for keyid, key in found.items() if key.may("runner")}


def _anchors(folder: Path) -> Iterator[Anchor]:
    """The head signed at the export, and those from git. What cannot be read is an anchor without an envelope."""
    for name in (HEAD, ANCHORS):
        path = folder / name
        for i, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [b""], start=1):
            try:
                value = json.loads(line)
                where, envelope = (name, value) if name == HEAD else (str(value["where"]), value["envelope"])
                yield Anchor(where, envelope if isinstance(envelope, dict) else {})
            except (ValueError, KeyError, TypeError):
                yield Anchor(f"{name}, line {i}", {})


def _weights(folder: Path, facts: PackFacts | None) -> tuple[Workspace, ...]:
    if facts is None or not (folder / WEIGHTS).is_dir():
        return ()
    return (Workspace(folder / WEIGHTS, (facts.run_id,), partial=True),)


def _notes(folder: Path) -> Iterator[Note]:
    yield Note(where="data", sentence="shards are not in a pack: their digests are, in the manifests of the outputs")
    if not (folder / WEIGHTS).is_dir():
        yield Note(where="weights", sentence="weights are not in this pack: their digests are, and the model's follows")
