"""Lineage records on disk: small files by the digest of their bytes, and one signed statement a run that names them.

    <state>/records/blobs/<aa>/<sha256>     a record: manifest, statement, events, clips.parquet, report, decision, ...
    <state>/records/runs/<run id>.json      DSSE envelope of the run's statement: name -> sha256 of each of its records
    <state>/records/made/<aa>/<digest>      by the digest of a stage's lock entry: its maker's statement, by sha256

Everything else (the lineage index, cards, evidence packs) is derived from these and from the ledger. An evidence pack
holds the first two folders; the third spares a search, and may be lost. Names of a run's records are constants below;
`stage_record` names those of a stage.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.signing.dsse import Envelope, envelope_bytes, unverified
from flows.signing.statements import RUN, RunFacts, read_facts, subjects_of
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import RecordError

RECORDS_FOLDER = "records"  # of the state directory
RUN_FILE, PARAMS, LOCK, SOURCES, RECALLS = (
    "run.json",
    "params.yaml",
    "dvc.lock",
    "data/sources.json",
    "data/recalls.json",
)
ENVIRONMENT, PACKAGES = "environment.json", "packages.json"
GATE_INPUTS, DECISION = "gate-inputs.json", "decision.json"
STATEMENT, EVENTS, MANIFEST = "statement.json", "events.ndjson", "manifest.json"  # of every stage
# of some stages, copied whole
STAGE_FILES = {
    "prepare": ("clips.parquet", "sources.json", "not_included.json"),
    "validate": ("verdict.json",),
    "evaluate": ("report.json",),
}


def stage_record(stage: str, name: str) -> str:
    """The name of a stage's record in its run."""
    return f"stages/{stage}/{name}"


@dataclass(frozen=True)
class RunStatement:
    """What a run's statement says; nobody's word until its envelope is verified.

    Attributes:
        files: sha256 by name of every record of the run.
        facts: what the run came to.
        envelope: as it lies on disk.
        sha256: of the envelope's bytes, as the ledger names it.
    """

    run_id: str
    files: dict[str, str]
    facts: RunFacts
    envelope: Envelope
    sha256: str

    @property
    def stages(self) -> list[str]:
        """The stages with a statement, in no particular order."""
        return sorted(name.split("/")[1] for name in self.files if name.endswith(f"/{STATEMENT}"))


class Records:
    """The records of a state directory or of an unpacked evidence pack."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds `blobs/` and `runs/`; it may not be there yet."""
        self.folder = folder

    def put(self, content: bytes) -> str:
        """Keeps a record, once however often it is given; returns its sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.path(sha256)
        if not path.is_file():
            with atomic_file(path) as stream:
                stream.write(content)
        return sha256

    def path(self, sha256: str) -> Path:
        """Where a record is, or would be."""
        return self.folder / "blobs" / sha256[:2] / sha256

    def get(self, sha256: str, name: str = "a record") -> bytes:
        """A record's bytes, checked against its digest; `name` names it in errors.

        Raises:
            RecordError: it is gone, or has other bytes.
        """
        try:
            content = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise RecordError(f"{name} is gone", expected=f"sha256 {sha256}", got="no such file") from None
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise RecordError(f"{name} was altered", expected=f"sha256 {sha256}", got=found, fix="restore a backup")
        return content

    def note_maker(self, lock_digest: str, statement_sha256: str) -> None:
        """Remembers the statement of the stage that made what a lock entry records."""
        with atomic_file(self._maker_path(lock_digest)) as stream:
            stream.write(statement_sha256.encode())

    def maker(self, lock_digest: str) -> str | None:
        """The sha256 of the statement that `note_maker` was told last; None where nobody told it."""
        path = self._maker_path(lock_digest)
        return path.read_text() if path.is_file() else None

    def _maker_path(self, lock_digest: str) -> Path:
        return self.folder / "made" / lock_digest[:2] / lock_digest

    def text(self, run: RunStatement, name: str) -> str | None:
        """A record of a run as text; None where the run has none of that name. Raises as `get` does."""
        sha256 = run.files.get(name)
        return None if sha256 is None else self.get(sha256, f"{name} of run {run.run_id}").decode()

    def json(self, run: RunStatement, name: str) -> Any:
        """A JSON record of a run; None where the run has none of that name. Raises as `get` does."""
        text = self.text(run, name)
        return None if text is None else json.loads(text)

    def envelope(self, run: RunStatement, stage: str) -> Envelope:
        """The signed statement of a stage.

        Raises:
            RecordError: there is none, or it was altered.
        """
        found = self.json(run, stage_record(stage, STATEMENT))
        if not isinstance(found, dict):
            raise RecordError(f"run {run.run_id} has no statement of {stage}", got=", ".join(run.stages))
        return found

    def add_run(self, run_id: str, envelope: Envelope) -> str:
        """Keeps the statement of a run; returns the sha256 of its envelope."""
        content = envelope_bytes(envelope)
        with atomic_file(self.run_path(run_id)) as stream:
            stream.write(content)
        return hashlib.sha256(content).hexdigest()

    def run_path(self, run_id: str) -> Path:
        """Where the statement of a run is, or would be."""
        return self.folder / "runs" / f"{run_id}.json"

    def run_ids(self) -> list[str]:
        """Every run with a statement, by id, which sorts by start."""
        return sorted(path.stem for path in (self.folder / "runs").glob("*.json"))

    def run(self, run_id: str) -> RunStatement:
        """The statement of a run, not verified.

        Raises:
            RecordError: there is none, or it is no statement.
            SigningError: it is no envelope.
        """
        path = self.run_path(run_id)
        try:
            content = path.read_bytes()
            envelope = json.loads(content)
        except FileNotFoundError:
            raise RecordError(f"{path}: run {run_id} has no statement", fix="worldmodel runs") from None
        except ValueError as error:
            raise RecordError(f"{path}: not JSON", got=str(error)) from None
        statement = unverified(envelope, str(path))
        try:
            files = subjects_of(statement)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path}: not the statement of a run", got=repr(error)) from None
        facts = read_facts(statement, RunFacts, RUN, str(path))
        return RunStatement(run_id, files, facts, envelope, hashlib.sha256(content).hexdigest())
