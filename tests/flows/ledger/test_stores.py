"""Stores that are made, brought up to date, or refused, on SQLite and on a real PostgreSQL."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import stores
from flows.ledger.bodies import ClockBehind
from flows.ledger.store import Ledger, ledger_url
from flows.stores import now_text, open_store, parse_time, writing
from worldmodel.errors import LedgerError, ParamsError

STEP = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.add_column("ledger_identity", sa.Column("note", sa.Text))
"""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", "2026-01-31T23:59:59.999999Z"),
        ("2026-01-31T14:00:00+01:00", "2026-01-31T13:00:00.000000Z"),
        ("2026-01-31T14:00:00.25Z", "2026-01-31T14:00:00.250000Z"),
        ("2026-01-31T00:30+02:00", "2026-01-30T22:30:00.000000Z"),
    ],
)
def test_a_date_is_the_whole_day_and_a_time_is_read_in_its_zone(text: str, moment: str) -> None:
    assert parse_time(text) == moment
    assert parse_time(moment) == moment


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "2026-01-31T14:00:00", "", "9999-12-31T23:59:59-10:00"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ParamsError, match="2026-01-31"):
        parse_time(text)


def test_times_sort_as_text() -> None:
    assert now_text() <= now_text() and len(now_text()) == len("2026-01-31T23:59:59.999999Z")


def test_a_store_is_made_once_and_found_again(url: str) -> None:
    first, second = Ledger.open(url), Ledger.open(url)
    assert first.id == second.id and len(first.id) == 36


def test_both_stores_fit_into_one_database(postgres_url: str) -> None:
    for name in ("ledger", "lineage"):
        engine = open_store(postgres_url, name)  # type: ignore[arg-type]
        assert sa.inspect(engine).has_table(f"{name}_version")


def test_a_store_of_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    engine = open_store(url, "ledger")
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE ledger_version SET version_num = '0999'"))
    with pytest.raises(LedgerError, match="newer version") as caught:
        Ledger.open(url)
    assert "0999" in caught.value.got
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM ledger_version")).scalar() == "0999"


def test_an_old_store_is_brought_up_to_date_once_and_keeps_its_entries(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Ledger.open(url)
    entry = old.append(ClockBehind(observed="before"), "me")
    newer = tmp_path / "mi%grations"
    shutil.copytree(stores._MIGRATIONS, newer, ignore=shutil.ignore_patterns("__pycache__"))
    (newer / "ledger" / "versions" / "0002_note.py").write_text(STEP)
    monkeypatch.setattr(stores, "_MIGRATIONS", newer)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Ledger.open(url), range(4)))
    assert {ledger.id for ledger in opened} == {old.id}
    assert list(opened[0].entries()) == [entry]
    assert "note" in {column["name"] for column in sa.inspect(opened[0].engine).get_columns("ledger_identity")}


def test_a_step_that_fails_changes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open(url)
    newer = tmp_path / "migrations"
    shutil.copytree(stores._MIGRATIONS, newer, ignore=shutil.ignore_patterns("__pycache__"))
    (newer / "ledger" / "versions" / "0002_note.py").write_text(STEP + '    op.execute("SELECT * FROM nowhere")\n')
    with monkeypatch.context() as patch:
        patch.setattr(stores, "_MIGRATIONS", newer)
        with pytest.raises(LedgerError, match="nowhere"):
            Ledger.open(url)
    assert Ledger.open(url).id == ledger.id
    assert "note" not in {column["name"] for column in sa.inspect(ledger.engine).get_columns("ledger_identity")}


@pytest.mark.parametrize("url", ["mysql://here/there", "sqlite://", "sqlite:///:memory:", "a file"])
def test_other_kinds_of_store_are_refused(url: str) -> None:
    with pytest.raises(LedgerError, match=r"expected: sqlite:///.*postgresql://"):
        Ledger.open(url)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(LedgerError, match=r"ledger\.db.*\n.*not a database"):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(LedgerError, match=r"127\.0\.0\.1:1/ledger") as caught:
        Ledger.open("postgresql://somebody:secret@127.0.0.1:1/ledger")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"worldmodel\[postgres\]"):
        Ledger.open("postgresql://here/ledger")


def test_the_ledger_is_in_the_state_directory_unless_a_url_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLDMODEL_LEDGER_URL", raising=False)
    assert ledger_url(tmp_path) == f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("WORLDMODEL_LEDGER_URL", "postgresql://db/ledger")
    assert ledger_url(tmp_path) == "postgresql://db/ledger"
