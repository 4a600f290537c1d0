"""Every way to tamper with a ledger is found, told apart and named by the number of the entry."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from flows.ledger.bodies import DataRecalled, LedgerRestored
from flows.ledger.chain import Head, check_chain
from flows.ledger.entry import Entry, entry_hash, next_entry
from flows.ledger.store import Ledger
from flows.stores import writing

Entries = list[Entry]
OURS = "ours"


def chain(count: int, start: Entry | None = None, actor: str = "ann") -> Entries:
    """Entries that follow one another, a second apart."""
    found: Entries = []
    last = start
    for _ in range(count):
        number = last.sequence + 1 if last else 1
        moment = f"2026-01-31T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000000Z"
        body = {"what": "log", "id": f"log-{number}", "reason": "ä"}
        last = next_entry(last, moment, actor, "data.recalled", body)
        found.append(last)
    return found


def head(entry: Entry, ledger: str = OURS) -> Head:
    return Head(ledger=ledger, sequence=entry.sequence, hash=entry.hash, time=entry.time)


def anew(entry: Entry, **changes: object) -> Entry:
    """An entry with other content, and the hash that belongs to it."""
    other = entry.model_copy(update=changes)
    parts = (other.sequence, other.time, other.actor, other.kind, other.body_sha256, other.previous)
    return other.model_copy(update={"hash": entry_hash(*parts)})


def numbered(entries: Entries) -> Entries:
    """The same entries with numbers that run without a gap."""
    return [entry.model_copy(update={"sequence": at}) for at, entry in enumerate(entries, start=1)]


def codes(entries: Entries, *anchors: Head) -> list[tuple[str, str]]:
    return [(f.what.removeprefix("ledger/"), f.where) for f in check_chain(entries, anchors, OURS)]


def at(number: int) -> str:
    return f"ledger entry {number}"


def changed(entries: Entries, number: int, **changes: object) -> Entries:
    return [e.model_copy(update=changes) if e.sequence == number else e for e in entries]


def written_anew(entries: Entries, number: int) -> Entries:
    """One entry with a body and hashes that fit each other."""
    other = next_entry(entries[number - 2], entries[number - 1].time, "eve", "data.recalled", {"id": "other"})
    return [*entries[: number - 1], other, *entries[number:]]


def test_a_whole_chain_has_nothing_against_it_at_any_anchor() -> None:
    entries = chain(12)
    assert codes(entries, *(head(entry) for entry in entries)) == []
    assert check_chain([]) == [] and check_chain(iter(entries)) == []


def test_bodies_may_be_left_out_and_the_chain_still_holds() -> None:
    left_out = [e.model_copy(update={"body": None}) if e.sequence % 3 else e for e in chain(9)]
    assert codes(left_out) == []
    assert codes(changed(left_out, 4, body_sha256="0" * 64)) == [("changed", at(4))]


TAMPERED: dict[str, tuple[Callable[[Entries], Entries], list[tuple[str, str]]]] = {
    "a body": (lambda e: changed(e, 5, body={"id": "x"}), [("changed", at(5))]),
    "a body and its digest": (lambda e: changed(e, 5, body=None, body_sha256="0" * 64), [("changed", at(5))]),
    "an actor": (lambda e: changed(e, 5, actor="eve"), [("changed", at(5))]),
    "a time": (lambda e: changed(e, 5, time=e[5].time), [("changed", at(5))]),
    "a kind": (lambda e: changed(e, 5, kind="key.revoked"), [("changed", at(5))]),
    "the last": (lambda e: changed(e, 12, actor="eve"), [("changed", at(12))]),
    "the first": (lambda e: changed(e, 1, actor="eve"), [("changed", at(1))]),
    "a hash": (lambda e: changed(e, 5, hash="0" * 64), [("changed", at(5))]),
    "written anew by itself": (lambda e: written_anew(e, 5), [("changed", at(5))]),
    "two at once": (
        lambda e: changed(changed(e, 5, actor="eve"), 9, actor="eve"),
        [("changed", at(5)), ("changed", at(9))],
    ),
    "one removed": (lambda e: e[:4] + e[5:], [("removed", at(5))]),
    "several removed": (lambda e: e[:4] + e[7:], [("removed", at(5))]),
    "the first removed": (lambda e: e[2:], [("removed", at(1))]),
    "one removed, the rest renumbered": (lambda e: numbered(e[:4] + e[5:]), [("removed", at(5))]),
    "three removed, the rest renumbered": (lambda e: numbered(e[:4] + e[7:]), [("removed", at(5))]),
    "the first removed, the rest renumbered": (lambda e: numbered(e[1:]), [("removed", at(1))]),
    "two in another order": (lambda e: [*e[:4], e[5], e[4], *e[6:]], [("reordered", at(5))]),
    "two with each other's numbers": (
        lambda e: numbered([*e[:4], e[5], e[4], *e[6:]]),
        [("reordered", at(5)), ("reordered", at(6))],
    ),
    "two far apart with each other's numbers": (
        lambda e: numbered([e[0], e[10], *e[2:10], e[1], e[11]]),
        [("reordered", at(2)), ("reordered", at(11))],
    ),
    "one twice": (lambda e: [*e[:5], e[4], *e[5:]], [("inserted", at(5))]),
    "one of a number that is there": (
        lambda e: [*e[:5], anew(e[4], actor="eve"), *e[5:]],
        [("inserted", at(5))],
    ),
    "a false one before that of its number": (
        lambda e: [*e[:4], anew(e[4], actor="eve"), *e[4:]],
        [("inserted", at(5))],
    ),
    "one put in, the rest renumbered": (
        lambda e: numbered([*e[:4], *chain(1, e[3], "eve"), *e[4:]]),
        [("inserted", at(5))],
    ),
    "two put in, the rest renumbered": (
        lambda e: numbered([*e[:4], *chain(2, e[3], "eve"), *e[4:]]),
        [("inserted", at(5)), ("inserted", at(6))],
    ),
    "one before the first": (lambda e: [anew(e[0], sequence=0), *e], [("inserted", at(0))]),
    "a first that follows another": (lambda e: [anew(e[0], previous="1" * 64), *e[1:]], [("changed", at(1))]),
    "cut off at the end": (lambda e: e[:9], [("truncated", at(9))]),
    "nothing left": (lambda e: [], [("truncated", at(0))]),
    "an end written anew": (lambda e: e[:6] + chain(6, e[5], "eve"), [("fork", at(12))]),
    "all written anew": (lambda e: chain(12, None, "eve"), [("fork", at(4))]),
    "written anew and shorter": (lambda e: e[:6] + chain(2, e[5], "eve"), [("truncated", at(8))]),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_told_apart_and_named(what: str) -> None:
    tamper, expected = TAMPERED[what]
    entries = chain(12)
    assert codes(tamper(entries), head(entries[3]), head(entries[11])) == expected


def test_a_fork_says_after_which_signed_entry_it_begins() -> None:
    entries = chain(20)
    (finding,) = check_chain(
        entries[:9] + chain(11, entries[8], "eve"), [head(entries[n]) for n in (4, 7, 14, 19)], OURS
    )
    assert (finding.what, finding.where) == ("ledger/fork", at(15))
    assert "after entry 8" in finding.sentence


def test_what_follows_the_last_anchor_rests_on_the_chain_alone() -> None:
    entries = chain(12)
    forged = entries[:9] + chain(3, entries[8], "eve")
    assert codes(forged, head(entries[8])) == []


@given(
    st.integers(1, 8),
    st.sampled_from(["time", "actor", "kind", "body_sha256", "previous", "hash"]),
    st.text(min_size=1),
)
def test_no_field_of_any_entry_can_be_changed(number: int, name: str, text: str) -> None:
    found = codes(changed(chain(8), number, **{name: text + "?"}))
    assert [where for _, where in found] == [at(number)]


@given(st.permutations(range(8)))
def test_any_other_order_is_found(order: list[int]) -> None:
    entries = chain(8)
    found = codes(numbered([entries[n] for n in order]))
    moved = {place for place, was in enumerate(order, start=1) if was + 1 != place}
    assert set(found) == {("reordered", at(place)) for place in moved}


def test_a_time_before_that_of_the_entry_before_is_named() -> None:
    entries = chain(3)
    early = next_entry(entries[-1], "2001-01-01T00:00:00.000000Z", "ann", "data.recalled", {})
    assert codes([*entries, early]) == [("time", at(4))]


def test_anchors_of_another_ledger_are_named_with_its_id() -> None:
    entries, other = chain(5), chain(5, None, "bob")
    (finding,) = check_chain(entries, [head(entries[4]), head(other[2], "theirs"), head(other[4], "theirs")], OURS)
    assert (finding.what, finding.where) == ("ledger/other-ledger", "ledger ours")
    assert "2 signed heads" in finding.sentence and "theirs" in finding.sentence


@pytest.mark.parametrize("named", [OURS, None])
def test_a_ledger_put_in_place_of_another_is_found_by_its_id_or_its_hashes(named: str | None) -> None:
    ours, theirs = chain(5), chain(5, None, "bob")
    (finding,) = check_chain(theirs, [head(e) for e in ours], named)
    assert (finding.what, finding.where) == ("ledger/fork", at(1))
    (finding,) = check_chain(theirs, [head(e) for e in ours], "theirs")
    assert finding.what == "ledger/other-ledger"


def test_without_an_id_it_is_the_one_that_anchors_agree_with() -> None:
    entries, other = chain(5), chain(5, None, "bob")
    found = check_chain(entries, [head(e, "theirs") for e in other] + [head(entries[2])])
    assert [f.what for f in found] == ["ledger/other-ledger"] and "theirs" in found[0].sentence


def restored(lost: tuple[int, ...]) -> tuple[Entries, Entries]:
    """Twelve entries; and what a backup of eight of them became, which says that it lost `lost`."""
    entries = chain(12)
    body = LedgerRestored(backup_sha256="0" * 64, sequence=8, hash=entries[7].hash, lost=lost)
    note = next_entry(entries[7], "2026-02-01T00:00:00.000000Z", "ann", "ledger.restored", body.model_dump(mode="json"))
    later = next_entry(note, "2026-02-02T00:00:00.000000Z", "ann", "data.recalled", {})
    return entries, [*entries[:8], note, later]


def test_what_a_restore_lost_is_said_as_such_and_new_heads_of_the_same_numbers_are_good() -> None:
    entries, after = restored(lost=(10, 12))
    anchors = [head(entries[n - 1]) for n in (4, 10, 12)]
    assert codes(after, *anchors, head(after[9])) == [("lost", at(10)), ("lost", at(12))]


def test_a_restore_excuses_no_more_than_it_said_and_nothing_later() -> None:
    entries, after = restored(lost=(10,))
    assert codes(after, head(entries[11])) == [("truncated", at(10))]
    assert codes(after, head(entries[8])) == [("fork", at(9))]
    assert codes(after[:9], head(after[9])) == [("truncated", at(9))]  # signed after the restore, then cut off


def test_a_great_many_findings_are_told_in_part_and_counted() -> None:
    entries = [e.model_copy(update={"actor": "eve"}) for e in chain(300)]
    found = check_chain(entries)
    assert len(found) == 101 and found[-1].sentence == "200 more findings like these"


HALF = "\ud800"


@pytest.mark.parametrize("body", [{"id": float("nan")}, {"id": float("inf")}, {"id": HALF}, {HALF: 1}])
def test_a_body_that_has_no_canonical_text_is_a_changed_entry(body: dict[str, object]) -> None:
    assert codes(changed(chain(8), 5, body=body)) == [("changed", at(5))]


@pytest.mark.parametrize("hash_", ["", "0" * 64])
def test_half_a_character_anywhere_is_a_changed_entry(hash_: str) -> None:
    for name in ("time", "actor", "kind", "body_sha256", "previous"):
        assert codes(changed(chain(8), 5, **{name: HALF, "hash": hash_})) == [("changed", at(5))]


SQL = {
    "changed/nan": "UPDATE ledger_entries SET body = '{\"id\": NaN}' WHERE sequence = 3",
    "changed/surrogate": 'UPDATE ledger_entries SET body = \'{"id": "\\ud800"}\' WHERE sequence = 3',
    "changed": "UPDATE ledger_entries SET body = replace(body, 'log-3', 'log-9') WHERE sequence = 3",
    "changed/unreadable": "UPDATE ledger_entries SET body = '{' WHERE sequence = 3",
    "changed/bytes": "UPDATE ledger_entries SET actor = CAST(x'ff00' AS BLOB) WHERE sequence = 3",
    "removed": "DELETE FROM ledger_entries WHERE sequence = 3",
}


@pytest.mark.parametrize("what", SQL)
def test_a_store_that_was_changed_behind_the_back_of_its_triggers_is_found_out(ledger: Ledger, what: str) -> None:
    ledger.append_all([DataRecalled(what="log", id=f"log-{n}", reason="") for n in range(1, 6)], "ann")
    with writing(ledger.engine) as connection:
        for trigger in ("update", "delete"):
            connection.execute(sa.text(f"DROP TRIGGER ledger_entries_no_{trigger}"))
        connection.execute(sa.text(SQL[what]))
    found = check_chain(ledger.entries())
    assert [(f.what, f.where) for f in found] == [(f"ledger/{what.split('/')[0]}", at(3))]


def test_ten_thousand_entries_with_a_hundred_heads_hold() -> None:
    entries = chain(10_000)
    assert check_chain(entries, [head(entries[n]) for n in range(0, 10_000, 100)], OURS) == []


def test_an_entry_taken_out_of_ten_thousand_and_the_rest_renumbered_is_named() -> None:
    entries = chain(10_000)
    assert codes(numbered(entries[:9] + entries[10:]))[0] == ("removed", at(10))
