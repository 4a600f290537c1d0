"""The ledger: what was recorded, in order, each entry with the hash of the one before. Entries are only ever added."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import Connection, Engine

from evaluation.base import Record, canonical_json
from flows.ledger.bodies import KIND_OF, ClockBehind
from flows.ledger.entry import Entry, next_entry
from flows.stores import answering, now_text, open_store, writing
from worldmodel.errors import LedgerError

LEDGER_VARIABLE = "WORLDMODEL_LEDGER_URL"
SKEW_S = 1.0  # hosts differ by less, and nobody need know
_PAGE = 2000

_METADATA = sa.MetaData()
ENTRIES = sa.Table(
    "ledger_entries",
    _METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("time", "actor", "kind", "body", "body_sha256", "previous", "hash")),
)
IDENTITY = sa.Table("ledger_identity", _METADATA, sa.Column("id", sa.Text, primary_key=True))


def ledger_url(state: Path) -> str:
    """Where the ledger of a state directory is: `$WORLDMODEL_LEDGER_URL`, else `ledger.db` in it."""
    return os.environ.get(LEDGER_VARIABLE) or f"sqlite:///{state / 'ledger.db'}"


class Ledger:
    """An open ledger. It may be used from several threads, and by many processes at once.

    Attributes:
        url: where it is.
        id: of this ledger, made with it and kept by its backups.
    """

    def __init__(self, engine: Engine, url: str, clock: Callable[[], str] = now_text) -> None:
        """Use `open`. `clock` gives the time as stores keep it."""
        self.engine, self.url, self._clock = engine, url, clock
        self.id = self._scalar(sa.select(IDENTITY.c.id))

    @classmethod
    def open(cls, url: str, clock: Callable[[], str] = now_text) -> Self:
        """The ledger at a URL, made if it is not there.

        Raises:
            LedgerError: it cannot be reached, or a newer version wrote it.
        """
        return cls(open_store(url, "ledger"), url, clock)

    def close(self) -> None:
        """Lets go of the store."""
        self.engine.dispose()

    def append(self, body: Record, actor: str) -> Entry:
        """Adds an entry of the kind that `body` belongs to; it is on disk when this returns.

        Raises:
            LedgerError: the store does not answer, or no entry has such a body.
        """
        return self.append_all([body], actor)[0]

    def append_all(self, bodies: Sequence[Record], actor: str) -> list[Entry]:
        """Adds entries one after the other, all of them or none. Raises as `append` does."""
        with self.adding() as connection:
            return self.add(connection, bodies, actor)

    @contextmanager
    def adding(self) -> Iterator[Connection]:
        """A transaction in which nobody else adds entries. Raises as `append` does."""
        with answering(self.engine.url), writing(self.engine) as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_number("append"))))
            yield connection

    def add(self, connection: Connection, bodies: Sequence[Record], actor: str) -> list[Entry]:
        """Adds entries within `adding`. Raises as `append` does."""
        last, moment = _last(connection), self._clock()
        clock = self._clock_behind(connection, last, moment) if bodies else []
        added: list[Entry] = list(clock)
        for body in bodies:
            before = added[-1] if added else last
            added.append(_entry(before, max(moment, before.time) if before else moment, actor, body))
        insert_entries(connection, added)
        return added[len(clock) :]

    def _clock_behind(self, connection: Connection, last: Entry | None, moment: str) -> list[Entry]:
        """The entry that says the clock went back, once for as long as it stays behind."""
        if last is None or _seconds_between(moment, last.time) <= SKEW_S:
            return []
        is_known = sa.select(sa.literal(1)).where(ENTRIES.c.kind == "clock.behind", ENTRIES.c.time == last.time)
        if connection.execute(is_known.limit(1)).first():
            return []
        return [_entry(last, last.time, "ledger", ClockBehind(observed=moment))]

    def entries(self, *, kinds: Iterable[str] = (), until: str | None = None, after: int = 0) -> Iterator[Entry]:
        """Entries in order, read page by page; those there are when it begins.

        Args:
            kinds: only these; none given: all.
            until: no later than this time (`flows.stores.parse_time`).
            after: only those with a greater sequence number.

        Raises:
            LedgerError: the store does not answer.
        """
        wanted = _wanted(kinds, until).order_by(ENTRIES.c.sequence).limit(_PAGE)
        end = self._scalar(sa.select(sa.func.max(ENTRIES.c.sequence))) or 0
        while True:
            rows = self._rows(wanted.where(ENTRIES.c.sequence > after, ENTRIES.c.sequence <= end))
            yield from map(_read, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1].sequence

    def newest(self, limit: int, *, kinds: Iterable[str] = (), until: str | None = None) -> list[Entry]:
        """The last entries of those that `entries` gives, in order. Raises as it does."""
        rows = self._rows(_wanted(kinds, until).order_by(ENTRIES.c.sequence.desc()).limit(limit))
        return [_read(row) for row in reversed(rows)]

    def head(self) -> Entry | None:
        """The last entry; None in an empty ledger."""
        with answering(self.engine.url), self.engine.connect() as connection:
            return _last(connection)

    def entry(self, sequence: int) -> Entry:
        """The entry with this number.

        Raises:
            LedgerError: there is none, or the store does not answer.
        """
        rows = self._rows(sa.select(ENTRIES).where(ENTRIES.c.sequence == sequence))
        if not rows:
            raise LedgerError(f"the ledger has no entry {sequence}", fix="worldmodel audit ledger")
        return _read(rows[0])

    @contextmanager
    def lock(self, name: str, timeout_s: float = 60.0) -> Iterator[None]:
        """Holds `name` for one process and thread among all that use this ledger; not to be entered twice.

        The kernel (SQLite) or the server (PostgreSQL) lets go when its holder ends, however it ends.

        Raises:
            LedgerError: somebody else held it all the time.
        """
        hold = self._lock_in_server if self.engine.dialect.name == "postgresql" else self._lock_file
        with hold(name, timeout_s):
            yield

    @contextmanager
    def _lock_file(self, name: str, timeout_s: float) -> Iterator[None]:
        readable = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:40]
        path = Path(f"{self.engine.url.database}.{readable}-{_number(name):016x}.lock")
        lock = FileLock(path, timeout=timeout_s)
        try:
            lock.acquire()
        except Timeout:
            raise _held(name, str(path), timeout_s) from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _lock_in_server(self, name: str, timeout_s: float) -> Iterator[None]:
        deadline = time.monotonic() + timeout_s
        attempt = sa.select(sa.func.pg_try_advisory_lock(_number(name)))
        with answering(self.engine.url):
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with connection:  # closing it frees the lock
            while True:
                with answering(self.engine.url):
                    if connection.execute(attempt).scalar_one():
                        break
                if time.monotonic() > deadline:
                    raise _held(name, self.engine.url.render_as_string(hide_password=True), timeout_s)
                time.sleep(0.02)
            yield

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with answering(self.engine.url), self.engine.connect() as connection:
            return connection.execute(query).fetchall()

    def _scalar(self, query: sa.Select[Any]) -> Any:
        with answering(self.engine.url), self.engine.connect() as connection:
            return connection.execute(query).scalar()


def insert_entries(connection: Connection, entries: Sequence[Entry]) -> None:
    """Adds entries as they are; bodies as canonical JSON."""
    if entries:
        rows = [{**entry.model_dump(exclude={"body"}), "body": canonical_json(entry.body)} for entry in entries]
        connection.execute(sa.insert(ENTRIES), rows)


def _seconds_between(one: str, other: str) -> float:
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


def _entry(last: Entry | None, moment: str, actor: str, body: Record) -> Entry:
    kind = KIND_OF.get(type(body))
    if kind is None or not actor or "\0" in actor:
        expected = "a body of flows.ledger.bodies, and somebody who acts"
        raise LedgerError("not an entry of the ledger", expected=expected, got=f"{type(body).__name__} by {actor!r}")
    return next_entry(last, moment, actor, kind, body.model_dump(mode="json"))


def _wanted(kinds: Iterable[str], until: str | None) -> sa.Select[Any]:
    wanted = sa.select(ENTRIES)
    if only := sorted(kinds):
        wanted = wanted.where(ENTRIES.c.kind.in_(only))
    return wanted if until is None else wanted.where(ENTRIES.c.time <= until)


def _last(connection: Connection) -> Entry | None:
    row = connection.execute(sa.select(ENTRIES).order_by(ENTRIES.c.sequence.desc()).limit(1)).first()
    return None if row is None else _read(row)


def _read(row: Sequence[Any]) -> Entry:
    """An entry as the store has it. What somebody else wrote there may be anything: checking the chain finds it."""
    sequence, moment, actor, kind, body, body_sha256, previous, hash_ = row
    try:
        value = json.loads(body)
    except (TypeError, ValueError, RecursionError):
        value = None
    return Entry.model_construct(
        sequence=sequence,
        time=str(moment),
        actor=str(actor),
        kind=str(kind),
        body=value if isinstance(value, dict) else {"unreadable": str(body)},
        body_sha256=str(body_sha256),
        previous=str(previous),
        hash=str(hash_),
    )


def _number(name: str) -> int:
    """A lock's number: 63 bits of the digest of its name."""
    return int.from_bytes(hashlib.sha256(f"worldmodel ledger {name}".encode()).digest()[:8], "big") >> 1


def _held(name: str, where: str, timeout_s: float) -> LedgerError:
    what = f"somebody else has held the lock {name!r} for {timeout_s:g} s"
    return LedgerError(what, got=where, fix="wait for it, then try again")
