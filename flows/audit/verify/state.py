"""The evidence of a state directory and its checkout."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from flows.audit.verify.evidence import Evidence, Note, Registry, Workspace
from flows.ledger.anchors import read_anchors
from flows.ledger.entry import Entry
from flows.ledger.store import ENTRIES, Ledger
from flows.lineage.records import Records
from flows.runs import RunRecord, Runs
from flows.stores import answering
from flows.workspace import is_locked
from worldmodel.errors import LedgerError, RecordError, SigningError, WorkspaceError

RECORDS_FOLDER = "records"
_KEY_LENGTH = 16


def evidence_of(checkout: Path, state: Path, ledger: Ledger | None, registry: Registry | None = None) -> Evidence:
    """All that a state directory can put before the verifier; nothing in it is changed.

    Args:
        checkout, state: where git refs, and everything else, are.
        ledger: None: it is gone, which signed heads in git refs then show.
        registry: to be held against the ledger, if it can be reached.

    Raises:
        RecordError: nothing was ever recorded.
        WorkspaceError: git failed.
    """
    records, notes, anchors = Records(state / RECORDS_FOLDER), list[Note](), read_anchors(checkout)
    if ledger is None and not anchors and not records.run_ids():
        raise RecordError(f"{state}: nothing is recorded yet", expected="a ledger", fix="worldmodel run")
    started = _started(state, notes)
    return Evidence(
        entries=() if ledger is None else readable(ledger),
        anchors=anchors,
        records=records,
        at_work=frozenset(run.run_id for run in started if run.status == "running"),
        workspaces=tuple(_workspaces(state, records, started, notes)),
        checkout=checkout,
        state=state,
        cache=state / "cache",
        registry=registry,
        ledger_id=None if ledger is None else ledger.id,
        notes=tuple(notes),
    )


def readable(ledger: Ledger) -> Iterator[Entry]:
    """The entries; what the database cannot read of one is left empty, so that checking the chain names it."""
    last = 0
    try:
        for entry in ledger.entries():
            yield entry
            last = entry.sequence
    except LedgerError:
        yield from _one_by_one(ledger, last)


def _one_by_one(ledger: Ledger, after: int) -> Iterator[Entry]:
    with answering(ledger.engine.url), ledger.engine.connect() as connection:
        rows = connection.execute(
            sa.select(ENTRIES.c.sequence).where(ENTRIES.c.sequence > after).order_by(ENTRIES.c.sequence)
        ).fetchall()
    for (sequence,) in rows:
        try:
            yield ledger.entry(sequence)
        except LedgerError as error:
            yield _unreadable(sequence, error.got)


def _unreadable(sequence: int, said: str) -> Entry:
    body = {"unreadable": said}
    return Entry(
        sequence=sequence, time="", actor="", kind="unreadable", body=body, body_sha256="", previous="", hash=""
    )


def _workspaces(state: Path, records: Records, started: list[RunRecord], notes: list[Note]) -> Iterator[Workspace]:
    """The folders of `workspaces/` that recorded runs have worked in."""
    recorded = _runs_by_key(records)
    for folder in sorted(path for path in (state / "workspaces").glob("*") if path.is_dir()):
        run_ids = tuple(recorded.get(folder.name, ()))
        if run_ids:
            unrecorded = _unrecorded(state, folder.name, run_ids, started)
            yield Workspace(folder, run_ids, unrecorded)
        else:
            sentence = "no run with a statement has worked there, so there is nothing to hold it against"
            notes.append(Note(where=f"workspace {folder.name}", sentence=sentence))


def _runs_by_key(records: Records) -> dict[str, list[str]]:
    """Recorded runs by the workspace that their snapshot names; what cannot be read is for the walk to find."""
    found: dict[str, list[str]] = {}
    for run_id in records.run_ids():
        try:
            tree = records.run(run_id).facts.tree
        except (RecordError, SigningError, OSError):
            continue
        found.setdefault(tree[:_KEY_LENGTH], []).append(run_id)
    return found


def _started(state: Path, notes: list[Note]) -> list[RunRecord]:
    """Every run that was ever started, newest first."""
    try:
        return list(Runs(state).newest_first())
    except WorkspaceError as error:
        notes.append(Note(where="runs", sentence=f"{error.what}: what runs without a record left is not told apart"))
        return []


def _unrecorded(state: Path, key: str, recorded: tuple[str, ...], started: list[RunRecord]) -> str:
    """Why a workspace may hold what no record knows yet; empty where it may not."""
    if (state / "workspaces" / f"{key}.lock").is_file() and is_locked(state, key):
        return "a run is at work there"
    later = [run.run_id for run in started if run.key == key and run.run_id > recorded[-1]]
    return f"run {later[0]} was there later, and left no record" if later else ""
