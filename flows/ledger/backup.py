"""The ledger as one file, and back. The file is gzip over lines of JSON: a header, then every entry in order.

The same entries give the same bytes. A backup keeps the ledger's id, so heads that were signed before stay good, and
those beyond its end show what was lost.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from itertools import islice
from pathlib import Path

import sqlalchemy as sa
from pydantic import ValidationError

from evaluation.base import Record, canonical_json
from flows.ledger.anchors import Anchor, read_head
from flows.ledger.bodies import LedgerRestored
from flows.ledger.chain import Head, check_chain
from flows.ledger.entry import Entry
from flows.ledger.keys import KEY_KINDS, trusted_keys
from flows.ledger.store import ENTRIES, IDENTITY, Ledger, insert_entries
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import LedgerError, RecordError, SigningError

SCHEMA = "worldmodel.ledger-backup/1"
_PAGE = 2000


class Header(Record):
    """The first line of a backup: which ledger, and where it ended."""

    schema_version: str = SCHEMA
    ledger: str
    sequence: int
    hash: str
    time: str


class Restored(Record):
    """What was restored.

    Attributes:
        header: of the backup.
        entry: number of the entry that records it.
        lost: signed heads beyond the end of the backup.
        passed_over: places of heads that no key of the backup's ledger signed, or of other ledgers.
    """

    header: Header
    entry: int
    lost: tuple[int, ...]
    passed_over: tuple[str, ...]


def backup(ledger: Ledger, path: Path) -> Header:
    """Writes the whole ledger to `path`, replacing what was there once all is written and the chain holds.

    Raises:
        LedgerError: it is empty, or does not hold together.
        WorkspaceError: the disk is full.
    """
    head = ledger.head()
    if head is None:
        raise LedgerError(f"{path}: an empty ledger has nothing to back up")
    header = Header(ledger=ledger.id, sequence=head.sequence, hash=head.hash, time=head.time)
    with atomic_file(path) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        entries = (entry for entry in ledger.entries() if entry.sequence <= head.sequence)
        _require_whole(_written(packed, header, entries), header, "the ledger", "worldmodel audit verify")
    return header


def restore(path: Path, url: str, anchors: Iterable[Anchor], actor: str) -> Restored:
    """Fills an empty store with a backup, and appends `ledger.restored`; all or nothing.

    Args:
        path: of the backup.
        url: of the store; made if it is not there.
        anchors: signed heads as they were found; those that a key of the ledger signed are compared.
        actor: who restores it.

    Raises:
        LedgerError: the file is damaged, cut off or of a newer version; its entries do not hold together, or are not
            those of a signed head; or the store is not empty.
    """
    with _opened(path) as stream:
        header, keys, hashes = _check(stream, path)
        lost, passed_over = _compare(path, header, hashes, anchors, keys)
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        ledger = Ledger.open(url)
        try:
            with ledger.adding() as connection:
                if connection.execute(sa.select(sa.func.count()).select_from(ENTRIES)).scalar_one():
                    raise _not_empty(ledger)
                connection.execute(sa.update(IDENTITY).values(id=header.ledger))
                entries = _entries(stream, path)
                while page := list(islice(entries, _PAGE)):
                    insert_entries(connection, page)
                body = LedgerRestored(backup_sha256=sha256, sequence=header.sequence, hash=header.hash, lost=lost)
                (entry,) = ledger.add(connection, [body], actor)
        finally:
            ledger.close()
    return Restored(header=header, entry=entry.sequence, lost=lost, passed_over=passed_over)


def read_header(path: Path) -> Header:
    """Where a backup ends, as it says itself. Raises LedgerError as `restore` does."""
    with _opened(path) as stream:
        return _header(next(_lines(stream, path), b""), path)


def _check(stream: BufferedReader, path: Path) -> tuple[Header, Sequence[Entry], dict[int, str]]:
    """The header of a backup that holds together, its entries about keys, and all hashes by number."""
    header = _header(next(_lines(stream, path), b""), path)
    keys: list[Entry] = []
    hashes: dict[int, str] = {}

    def seen() -> Iterator[Entry]:
        for entry in _entries(stream, path):
            hashes[entry.sequence] = entry.hash
            if entry.kind in KEY_KINDS:
                keys.append(entry)
            yield entry

    _require_whole(seen(), header, str(path), "restore an older backup")
    return header, keys, hashes


def _require_whole(entries: Iterable[Entry], header: Header, where: str, fix: str) -> None:
    end = Head(ledger=header.ledger, sequence=header.sequence, hash=header.hash, time=header.time)
    if findings := check_chain(entries, [end], header.ledger):
        got = "; ".join(finding.sentence for finding in findings[:3])
        raise LedgerError(f"{where}: its entries do not hold together", got=got, fix=fix)


def _compare(
    path: Path, header: Header, hashes: dict[int, str], anchors: Iterable[Anchor], keys: Sequence[Entry]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers of the signed heads beyond the end, and places of heads that say nothing here."""
    trusted = {keyid: key.public for keyid, key in trusted_keys(keys).items()}
    lost: set[int] = set()
    passed_over: list[str] = []
    for anchor in anchors:
        try:
            head = read_head(anchor, trusted)
        except (SigningError, RecordError):
            passed_over.append(anchor.where)
            continue
        if head.ledger != header.ledger:
            passed_over.append(anchor.where)
        elif head.sequence > header.sequence:
            lost.add(head.sequence)
        elif hashes[head.sequence] != head.hash:
            what = f"{path}: entry {head.sequence} is another than the one signed in {anchor.where}"
            raise LedgerError(what, expected=head.hash, got=hashes[head.sequence], fix="restore another backup")
    return tuple(sorted(lost)), tuple(passed_over)


def _written(packed: gzip.GzipFile, header: Header, entries: Iterable[Entry]) -> Iterator[Entry]:
    packed.write(f"{canonical_json(header)}\n".encode())
    for entry in entries:
        packed.write(f"{canonical_json(entry)}\n".encode())
        yield entry


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise LedgerError(
            f"{path}: cannot be read", expected="a backup of a ledger", got=error.strerror or ""
        ) from None


def _lines(stream: BufferedReader, path: Path) -> Iterator[bytes]:
    stream.seek(0)
    try:
        yield from gzip.GzipFile(fileobj=stream, mode="rb")
    except (EOFError, OSError, zlib.error) as error:
        raise LedgerError(
            f"{path}: damaged or cut off",
            expected="a backup as `worldmodel audit backup` writes it",
            got=str(error),
            fix="fetch it again, or restore another backup",
        ) from None


def _entries(stream: BufferedReader, path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_lines(stream, path), start=1):
        if number == 1:
            continue
        try:
            yield Entry.model_validate_json(line)
        except ValidationError as error:
            got = error.errors()[0]["msg"]
            raise LedgerError(f"{path}: line {number} is no entry", got=got, fix="restore another backup") from None


def _header(line: bytes, path: Path) -> Header:
    try:
        value = json.loads(line)
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version == SCHEMA:
            return Header.model_validate(value)
        got = f"schema {version}"
    except (ValueError, ValidationError) as error:
        got = str(error)[:200]
    fix = "restore it with the version of worldmodel that wrote it, if that is newer"
    raise LedgerError(f"{path}: not a backup that this version reads", expected=SCHEMA, got=got, fix=fix)


def _not_empty(ledger: Ledger) -> LedgerError:
    return LedgerError(
        "a backup is restored into an empty store only",
        got=f"{ledger.engine.url.render_as_string(hide_password=True)} has entries",
        fix="name another store by WORLDMODEL_LEDGER_URL, or move this one away first",
    )
