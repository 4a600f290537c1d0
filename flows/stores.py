"""The two SQL stores, ledger and lineage index: SQLite files by default, PostgreSQL by URL.

Each has a schema version, kept in a table of the store and brought up to date when the store is opened, one process at
a time. Steps are in `flows/migrations/<store>/versions/<number>_<name>.py`; the number is alembic's revision. Both
stores may share one database: their tables begin with the store's name.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from worldmodel.errors import LedgerError, ParamsError

StoreName = Literal["ledger", "lineage"]
_MIGRATIONS = Path(__file__).parent / "migrations"
_WAIT_S = 60
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_alembic_is_global = threading.Lock()


def now_text() -> str:
    """The time as stores keep it: UTC with microseconds, which sorts as text."""
    return datetime.now(UTC).strftime(_TIME)


def parse_time(text: str) -> str:
    """A moment as stores keep it.

    Args:
        text: a date, which stands for its last microsecond in UTC, or an ISO 8601 time with its zone.

    Raises:
        ParamsError: it is neither.
    """
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return f"{date.fromisoformat(text)}T23:59:59.999999Z"
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("a time without a zone")
        return moment.astimezone(UTC).strftime(_TIME)
    except (ValueError, OverflowError) as error:
        raise ParamsError(
            f"{text!r} is not a moment",
            expected="a date (the whole of it, UTC) or a time with its zone: 2026-01-31, 2026-01-31T14:00:00+01:00",
            got=str(error),
        ) from None


def open_store(url: str, name: StoreName) -> Engine:
    """The engine of a store that is there and up to date; makes it where there is none.

    Connections are not kept between uses, so an engine outlives a fork. Changes go through `writing`.

    Raises:
        LedgerError: no such kind of store, it cannot be reached, or a newer version wrote it.
    """
    place = _place(url)
    with answering(place):
        if place.database and place.get_backend_name() == "sqlite":
            Path(place.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(place, poolclass=NullPool, connect_args=_connect_args(place))
        _tune(engine, name)
        if _version(engine, name) != _versions(name)[-1]:
            with _one_process(engine):
                _upgrade(engine, name)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write: committed when the block ends well, else rolled back.

    On SQLite it waits for its turn before it reads, so nothing it has read can change before it writes.
    """
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


@contextmanager
def answering(place: URL) -> Iterator[None]:
    """Turns what a database raises into an error with a way out.

    Raises:
        LedgerError: it does not answer, or refuses.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise LedgerError(
            f"{place.render_as_string(hide_password=True)}: the store does not answer or refuses",
            got=" ".join(str(cause).split())[:400],
            fix="see that it is there, that this user may write to it, and that nothing holds its lock",
        ) from error


def _place(url: str) -> URL:
    try:
        place = make_url(url)
    except ArgumentError:
        raise LedgerError("not the URL of a store", expected=_EXPECTED, got=url.split("@")[-1]) from None
    backend = place.get_backend_name()
    if backend in ("postgresql", "postgres"):
        _require_psycopg()
        return place.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or place.database in (None, "", ":memory:"):
        raise LedgerError("no such kind of store", expected=_EXPECTED, got=place.render_as_string(hide_password=True))
    return place.set(drivername="sqlite+pysqlite")


_EXPECTED = "sqlite:///FOLDER/FILE.db or postgresql://USER@HOST/DATABASE"


def _require_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        fix = "pip install 'worldmodel[postgres]'"
        raise LedgerError("a PostgreSQL store needs the package psycopg", got=str(error), fix=fix) from None


def _connect_args(place: URL) -> dict[str, Any]:
    if place.get_backend_name() == "sqlite":
        return {"timeout": _WAIT_S}
    return {"connect_timeout": 10, "application_name": "worldmodel"}


def _tune(engine: Engine, name: StoreName) -> None:
    """Gives transactions their beginnings: Python's sqlite3 would begin late, and not at all before a DDL."""

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA synchronous={'FULL' if name == 'ledger' else 'NORMAL'}")

    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def wait_a_while(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = '{_WAIT_S}s'")
        connection.commit()

    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", on_connect)
        sa.event.listen(engine, "begin", on_begin)
    else:
        sa.event.listen(engine, "connect", wait_a_while)


def _versions(name: StoreName) -> list[str]:
    """The schema versions that this code knows, oldest first."""
    return sorted(path.name.split("_")[0] for path in (_MIGRATIONS / name / "versions").glob("[0-9]*_*.py"))


def _version(engine: Engine, name: StoreName) -> str | None:
    """The schema version of a store; None where it is empty.

    Raises:
        LedgerError: a newer version of this package wrote it.
    """
    with engine.connect() as connection:
        return _version_in(connection, name)


def _version_in(connection: Connection, name: StoreName) -> str | None:
    table = f"{name}_version"
    if not sa.inspect(connection).has_table(table):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {table}")).scalar_one_or_none()
    known = _versions(name)
    if found is None or found in known:
        return found
    raise LedgerError(
        f"the {name} was written by a newer version",
        expected=f"schema {known[-1]} or older",
        got=f"schema {found}",
        fix="use the version of worldmodel that wrote it, or a later one",
    )


@contextmanager
def _one_process(engine: Engine) -> Iterator[None]:
    """Only on SQLite: a switch to write-ahead logging fails at once while another connection is at work."""
    if engine.dialect.name != "sqlite":
        yield
        return
    path = Path(f"{engine.url.database}.schema.lock")
    try:
        with FileLock(path, timeout=_WAIT_S):
            with closing(engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
            yield
    except Timeout:
        raise LedgerError(f"{path}: another process holds the lock for long", fix="end it, then try again") from None


def _upgrade(engine: Engine, name: StoreName) -> None:
    """Takes every step that is missing, in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    for option, path in (("script_location", _MIGRATIONS), ("version_locations", _MIGRATIONS / name / "versions")):
        config.set_main_option(option, str(path).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    with writing(engine) as connection, _alembic_is_global:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        _version_in(connection, name)  # another process may have been here since
        config.attributes |= {"connection": connection, "version_table": f"{name}_version"}
        command.upgrade(config, "head")


_UPGRADE_LOCK = 0x776D_7374_6F72_65
