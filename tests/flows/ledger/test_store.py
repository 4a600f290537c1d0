"""The ledger keeps what it is given, in order, whoever writes at the same time."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from evaluation.base import Record
from flows.ledger.bodies import DataRecalled, KeyRevoked
from flows.ledger.chain import check_chain
from flows.ledger.entry import GENESIS
from flows.ledger.store import ENTRIES, Ledger
from flows.stores import writing
from tests.flows.ledger.workers import append_many, hold_lock
from worldmodel.errors import LedgerError

SPAWN = multiprocessing.get_context("spawn")


def recall(name: str) -> DataRecalled:
    return DataRecalled(what="log", id=name, reason="consent was withdrawn: “nein” \u2028")


class Clock:
    """Gives the moments that it was told, the last one for ever."""

    def __init__(self, *seconds: int) -> None:
        self.seconds = list(seconds)

    def __call__(self) -> str:
        now = self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return f"2026-01-31T12:00:{now:02d}.000000Z"


def test_entries_come_back_as_they_were_appended(url: str) -> None:
    ledger = Ledger.open(url)
    assert ledger.head() is None and list(ledger.entries()) == []
    first = ledger.append(recall("a"), "ann")
    rest = ledger.append_all([recall("b"), KeyRevoked(keyid="k", reason="lost")], "bob")
    assert [entry.sequence for entry in (first, *rest)] == [1, 2, 3]
    assert (first.previous, first.kind, first.actor) == (GENESIS, "data.recalled", "ann")
    again = Ledger.open(url)
    assert list(again.entries()) == [first, *rest]
    assert again.head() == rest[-1] and again.entry(2) == rest[0]
    assert first.body == recall("a").model_dump()
    assert check_chain(again.entries()) == []


def test_entries_are_chosen_by_kind_time_and_number(url: str) -> None:
    ledger = Ledger.open(url, clock=Clock(1, 2, 3, 4))
    for name in "abcd":
        ledger.append(recall(name) if name != "c" else KeyRevoked(keyid="k", reason="lost"), "ann")
    numbers = {
        "kind": [e.sequence for e in ledger.entries(kinds=["key.revoked"])],
        "until": [e.sequence for e in ledger.entries(until="2026-01-31T12:00:02.000000Z")],
        "after": [e.sequence for e in ledger.entries(after=2)],
        "all": [e.sequence for e in ledger.entries(kinds=["data.recalled"], after=1, until="2026-02")],
        "newest": [e.sequence for e in ledger.newest(2, kinds=["data.recalled"])],
    }
    assert numbers == {"kind": [3], "until": [1, 2], "after": [3, 4], "all": [2, 4], "newest": [2, 4]}


def test_reading_goes_on_over_pages_and_ends_where_it_began(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.ledger.store._PAGE", 3)
    ledger.append_all([recall(str(n)) for n in range(7)], "ann")
    seen = []
    for entry in ledger.entries():
        seen.append(entry.sequence)
        ledger.append(recall("while reading"), "ann")
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_all_of_several_entries_are_kept_or_none(url: str) -> None:
    ledger = Ledger.open(url)
    with pytest.raises(LedgerError):
        ledger.append_all([recall("a"), Record()], "ann")
    assert ledger.head() is None
    with pytest.raises(ZeroDivisionError), ledger.adding() as connection:
        ledger.add(connection, [recall("a")], "ann")
        _ = 1 / 0
    assert ledger.head() is None


@pytest.mark.parametrize(("body", "actor"), [(Record(), "ann"), (recall("a"), ""), (recall("a"), "a\0b")])
def test_what_no_entry_can_hold_is_refused(ledger: Ledger, body: Record, actor: str) -> None:
    with pytest.raises(LedgerError, match="not an entry"):
        ledger.append(body, actor)


def test_an_unknown_number_is_named(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no entry 7"):
        ledger.entry(7)


CHANGES = {
    "change": "UPDATE ledger_entries SET actor = 'eve' WHERE sequence = 1",
    "delete": "DELETE FROM ledger_entries WHERE sequence = 2",
    "rename": "UPDATE ledger_identity SET id = 'another'",
    "forget": "DELETE FROM ledger_identity",
}
IN_BULK = {
    "sqlite": "INSERT OR REPLACE INTO ledger_entries SELECT 1, time, 'eve', kind, body, body_sha256, previous, hash "
    "FROM ledger_entries WHERE sequence = 1",
    "postgresql": "TRUNCATE ledger_entries",
}


@pytest.mark.parametrize("change", [*CHANGES, "in bulk"])
def test_the_store_refuses_to_change_or_delete_entries(url: str, change: str) -> None:
    statement = CHANGES.get(change) or IN_BULK[url.split(":")[0]]
    ledger = Ledger.open(url)
    before = ledger.append_all([recall("a"), recall("b")], "ann")
    with pytest.raises(sa.exc.DBAPIError, match="entries of the ledger are"), writing(ledger.engine) as connection:
        connection.execute(sa.text(statement))
    assert list(Ledger.open(url).entries()) == before and Ledger.open(url).id == ledger.id


def test_two_entries_cannot_follow_the_same_one(url: str) -> None:
    ledger = Ledger.open(url)
    ledger.append_all([recall("a"), recall("b")], "ann")
    copy = ledger.entry(2).model_dump() | {"sequence": 3, "body": "{}", "hash": "f" * 64}
    with pytest.raises(sa.exc.IntegrityError), writing(ledger.engine) as connection:
        connection.execute(sa.insert(ENTRIES), copy)


def test_a_clock_that_goes_back_is_recorded_once_and_time_stands_still(url: str) -> None:
    ledger = Ledger.open(url, clock=Clock(30, 10, 11, 31, 5, 40))
    for name in "abcdef":
        ledger.append(recall(name), "ann")
    found = [(entry.kind, entry.time[17:19]) for entry in ledger.entries()]
    held, observed = ("clock.behind", "30"), ("data.recalled", "30")
    assert found == [
        observed,
        held,
        observed,
        observed,
        ("data.recalled", "31"),
        ("clock.behind", "31"),
        ("data.recalled", "31"),
        ("data.recalled", "40"),
    ]
    assert [e.body and e.body["observed"][17:19] for e in ledger.entries(kinds=["clock.behind"])] == ["10", "05"]
    assert check_chain(ledger.entries()) == []


def test_several_at_once_get_only_their_own_entries_back_when_the_clock_goes_back(ledger: Ledger) -> None:
    ledger.append(recall("a"), "ann")
    behind = Ledger.open(ledger.url, clock=lambda: "2001-01-01T00:00:00.000000Z")
    added = behind.append_all([recall("b"), recall("c")], "bob")
    assert [(entry.sequence, entry.kind, entry.actor) for entry in added] == [
        (3, "data.recalled", "bob"),
        (4, "data.recalled", "bob"),
    ]


def test_processes_that_open_and_append_at_once_leave_one_whole_chain(url: str) -> None:
    together = SPAWN.Barrier(3)
    workers = [SPAWN.Process(target=append_many, args=(url, together, name, 20)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 3
    entries = list(Ledger.open(url).entries())
    said = [entry.body["observed"] for entry in entries if entry.body]
    assert sorted(said) == sorted(f"{name} {number}" for name in "abc" for number in range(20))
    for name in "abc":  # each in its own order
        assert [text for text in said if text.startswith(name)] == [f"{name} {number}" for number in range(20)]
    assert check_chain(entries) == []


@contextlib.contextmanager
def another_holds_the_lock(url: str, held: Path) -> Iterator[int]:
    worker = SPAWN.Process(target=hold_lock, args=(url, held))
    worker.start()
    deadline = time.monotonic() + 60
    while not held.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert held.exists() and worker.pid
    try:
        yield worker.pid
    finally:
        worker.kill()
        worker.join()


def test_a_lock_keeps_others_out_and_is_free_once_its_holder_is_killed(url: str, tmp_path: Path) -> None:
    ledger = Ledger.open(url)
    with another_holds_the_lock(url, tmp_path / "held") as pid:
        with pytest.raises(LedgerError, match="promote/toy"), ledger.lock("promote/toy", timeout_s=0.1):
            pytest.fail("two at once")
        with ledger.lock("promote/another", timeout_s=0.1):
            ledger.append(recall("a"), "ann")  # a lock stops nobody from appending
        os.kill(pid, signal.SIGKILL)
        with ledger.lock("promote/toy", timeout_s=30):
            assert ledger.head()


def test_a_lock_is_free_after_an_error_within_it(url: str) -> None:
    ledger = Ledger.open(url)
    with pytest.raises(ZeroDivisionError), ledger.lock("x"):
        _ = 1 / 0
    with ledger.lock("x", timeout_s=0.1):
        pass


def test_a_store_that_goes_away_is_a_clear_error(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"\0" * 100_000)
    with pytest.raises(LedgerError, match=r"ledger\.db"):
        ledger.append(recall("a"), "ann")
    with pytest.raises(LedgerError, match=r"ledger\.db"):
        list(ledger.entries())
