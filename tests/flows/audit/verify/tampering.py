"""What somebody with access to the files could do: by editor, by SQL, by git, and with a key of their own."""

import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from evaluation.base import canonical_json, fingerprint
from flows.audit.finding import Finding
from flows.audit.verify.evidence import Registry, Verdict
from flows.audit.verify.state import evidence_of
from flows.audit.verify.walk import verify
from flows.ledger.bodies import RunRecorded
from flows.ledger.entry import GENESIS, entry_hash
from flows.ledger.store import Ledger, ledger_url
from flows.lineage.records import Records
from flows.signing.dsse import sign
from flows.signing.keys import SigningKey
from flows.signing.statements import RunFacts, run_statement
from tests.flows.history import History

Row = dict[str, Any]
COLUMNS = ("sequence", "time", "actor", "kind", "body", "body_sha256", "previous", "hash")


def copied(made: History, to: Path) -> History:
    """The same history elsewhere."""
    shutil.copytree(made.root, to / "checkout", symlinks=True)
    state = to / "checkout" / ".worldmodel"
    ledger = Ledger.open(ledger_url(state))
    return dataclasses.replace(
        made, root=to / "checkout", state=state, records=Records(state / "records"), ledger=ledger
    )


def restore(copy: Path, pristine: Path) -> None:
    """Makes a copied tree what it was copied from, by the times and sizes of its files."""
    for path in sorted(copy.rglob("*"), reverse=True):
        there = pristine / path.relative_to(copy)
        if path.is_dir() and not path.is_symlink():
            if not there.is_dir():
                path.rmdir()  # emptied before, since what is in it sorts after it
        elif not there.exists() or path.stat().st_mtime_ns != there.stat().st_mtime_ns:
            path.unlink()
    for path in sorted(pristine.rglob("*")):
        there = copy / path.relative_to(pristine)
        if path.is_dir():
            there.mkdir(exist_ok=True)
        elif not there.exists():
            shutil.copy2(path, there)


def verdict_on(made: History, *, quick: bool = False, registry: Registry | None = None) -> Verdict:
    """What the verifier says of a history, given its root's public key."""
    return verify(evidence_of(made.root, made.state, made.ledger, registry), (made.key.keyid,), quick=quick)


def codes(findings: Iterable[Finding]) -> set[str]:
    """What was found, without where."""
    return {finding.what for finding in findings}


def flip(path: Path, at: int = -1) -> None:
    """Changes one bit of one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def record_path(made: History, run: int, name: str) -> Path:
    """The file of a record of a run (0 is the first)."""
    statement = made.records.run(made.runs[run].run_id)
    return made.records.path(statement.files[name])


def rewrite(made: History, change: Callable[[list[Row]], list[Row]], *, chained: bool = False) -> None:
    """Changes the rows of the ledger past its triggers; `chained` makes all hashes anew, as a forger would."""
    with sqlite3.connect(made.state / "ledger.db") as connection:
        connection.row_factory = sqlite3.Row
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        rows = [dict(row) for row in connection.execute("SELECT * FROM ledger_entries ORDER BY sequence")]
        rows = change(rows)
        connection.execute("DELETE FROM ledger_entries")
        marks = ", ".join("?" for _ in COLUMNS)
        for row in chain(rows) if chained else rows:
            connection.execute(f"INSERT INTO ledger_entries VALUES ({marks})", [row[name] for name in COLUMNS])
    connection.close()


def chain(rows: list[Row]) -> list[Row]:
    """Rows with numbers and hashes as if they had been written so."""
    previous, done = GENESIS, []
    for sequence, row in enumerate(rows, 1):
        body = fingerprint(json.loads(row["body"]))
        own = entry_hash(sequence, row["time"], row["actor"], row["kind"], body, previous)
        done.append(row | {"sequence": sequence, "body_sha256": body, "previous": previous, "hash": own})
        previous = own
    return done


def edited(kind: str, nth: int, **changes: Any) -> Callable[[list[Row]], list[Row]]:
    """A change of fields in the body of the nth entry of a kind."""

    def change(rows: list[Row]) -> list[Row]:
        row = [row for row in rows if row["kind"] == kind][nth]
        row["body"] = canonical_json(json.loads(row["body"]) | changes)
        return rows

    return change


def restated(
    made: History, run: int, files: Mapping[str, bytes], key: SigningKey | None = None, **facts: Any
) -> RunFacts:
    """Closes a run again with other records, or facts, signed by the runner's own key or by another, and entered in the
    ledger: what a dishonest runner could do."""
    statement = made.records.run(made.runs[run].run_id)
    named = statement.files | {name: made.records.put(content) for name, content in files.items()}
    stated = RunFacts.model_validate(statement.facts.model_dump() | facts)
    signer = key or made.key
    sha256 = made.records.add_run(stated.run_id, sign(run_statement(stated, named), signer))
    shared = set(RunRecorded.model_fields) & set(RunFacts.model_fields)
    body = {name: value for name, value in stated.model_dump().items() if name in shared}
    made.ledger.append(RunRecorded(statement_sha256=sha256, keyid=signer.keyid, **body), stated.actor)
    return stated
