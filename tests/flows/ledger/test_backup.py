"""A ledger goes into one file and comes back whole, or not at all."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.ledger.anchors import Anchor, signed_head
from flows.ledger.backup import backup, read_header, restore
from flows.ledger.bodies import DataRecalled
from flows.ledger.chain import Head, check_chain
from flows.ledger.store import Ledger
from flows.ledger.trust import ensure_trusted
from flows.signing.dsse import unverified
from flows.signing.keys import SigningKey, make_key
from flows.stores import writing
from worldmodel.errors import LedgerError


def grow(ledger: Ledger, count: int = 1) -> None:
    ledger.append_all([DataRecalled(what="log", id=f"log-{n}", reason="ä\n") for n in range(count)], "ann")


@pytest.fixture
def full(ledger: Ledger, key: SigningKey) -> Ledger:
    """Five entries, the first of which trusts `key`."""
    ensure_trusted(ledger, key, "ann")
    grow(ledger, 4)
    return ledger


def signed(ledger: Ledger, key: SigningKey) -> Anchor:
    return Anchor(f"refs/heads/{ledger.newest(1)[0].sequence}", signed_head(ledger, key))


def heads(*anchors: Anchor) -> list[Head]:
    return [Head.model_validate(unverified(anchor.envelope, "")["predicate"]) for anchor in anchors]


def test_a_ledger_comes_back_with_its_id_and_says_that_it_was_restored(full: Ledger, tmp_path: Path, url: str) -> None:
    path = tmp_path / "out" / "ledger.backup"
    header = backup(full, path)
    done = restore(path, url, [], "ann")
    back = Ledger.open(url)
    *old, note = back.entries()
    assert (back.id, old) == (full.id, list(full.entries()))
    assert (note.kind, note.actor, note.sequence) == ("ledger.restored", "ann", done.entry)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert note.body == {"backup_sha256": sha256, "sequence": 5, "hash": full.entry(5).hash, "lost": []}
    assert (header.sequence, header.hash, done.lost, done.passed_over) == (5, full.entry(5).hash, (), ())
    assert check_chain(back.entries(), ledger_id=full.id) == []
    with pytest.raises(sa.exc.DBAPIError), writing(back.engine) as connection:
        connection.execute(sa.text("UPDATE ledger_identity SET id = 'x'"))


def test_the_same_ledger_gives_the_same_bytes(full: Ledger, tmp_path: Path) -> None:
    backup(full, tmp_path / "a")
    backup(full, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    lines = gzip.decompress((tmp_path / "a").read_bytes()).splitlines()
    assert len(lines) == 6 and json.loads(lines[0])["ledger"] == full.id
    assert read_header(tmp_path / "a").sequence == 5


def test_signed_heads_beyond_the_backup_are_named_as_lost(full: Ledger, key: SigningKey, tmp_path: Path) -> None:
    before = signed(full, key)
    backup(full, tmp_path / "backup")
    grow(full, 2)
    later = [signed(full, key)]
    grow(full, 3)
    later.append(signed(full, key))
    url = f"sqlite:///{tmp_path / 'new.db'}"
    done = restore(tmp_path / "backup", url, [before, *later], "ann")
    assert done.lost == (7, 10)
    found = check_chain(Ledger.open(url).entries(), heads(before, *later), full.id)
    assert [(f.what, f.where) for f in found] == [("ledger/lost", "ledger entry 7"), ("ledger/lost", "ledger entry 10")]


def test_heads_of_strangers_and_of_other_ledgers_say_nothing(full: Ledger, key: SigningKey, tmp_path: Path) -> None:
    backup(full, tmp_path / "backup")
    grow(full)
    stranger = make_key(tmp_path / "stranger.pem")
    another = Ledger.open(f"sqlite:///{tmp_path / 'another.db'}")
    grow(another, 9)
    anchors = [Anchor("strange", signed_head(full, stranger)), Anchor("another", signed_head(another, key))]
    done = restore(tmp_path / "backup", f"sqlite:///{tmp_path / 'new.db'}", [*anchors, Anchor("none", {})], "ann")
    assert (done.lost, done.passed_over) == ((), ("strange", "another", "none"))


def rewritten(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(change(lines))))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda p: p.write_bytes(p.read_bytes()[:-200]), "damaged or cut off"),
    "a byte changed": (lambda p: p.write_bytes(p.read_bytes()[:300] + b"\0" + p.read_bytes()[301:]), "backup: "),
    "no gzip": (lambda p: p.write_bytes(b"not a backup"), "damaged or cut off"),
    "empty": (lambda p: p.write_bytes(b""), "not a backup"),
    "gone": (lambda p: p.unlink(), "cannot be read"),
    "a line lost": (lambda p: rewritten(p, lambda lines: lines[:3] + lines[4:]), "entry 3: it is gone"),
    "the last line lost": (lambda p: rewritten(p, lambda lines: lines[:-1]), "the ledger ends here"),
    "half a line": (lambda p: rewritten(p, lambda lines: [*lines[:-1], lines[-1][:40]]), "line 6 is no entry"),
    "an entry changed": (
        lambda p: rewritten(p, lambda lines: [x.replace(b"log-2", b"log-9") for x in lines]),
        "entry 4: ",
    ),
    "a newer version": (
        lambda p: rewritten(p, lambda lines: [lines[0].replace(b"/1", b"/2"), *lines[1:]]),
        "schema .*/2",
    ),
    "no header": (lambda p: rewritten(p, lambda lines: lines[1:]), "not a backup that this version reads"),
    "another's id": (
        lambda p: rewritten(p, lambda lines: [lines[0].replace(b'"hash":"', b'"hash":"0'), *lines[1:]]),
        "entry 5: it is another than the head",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_backup_is_named_and_leaves_the_store_empty(full: Ledger, tmp_path: Path, damage: str) -> None:
    path, (act, said) = tmp_path / "backup", DAMAGE[damage]
    backup(full, path)
    act(path)
    url = f"sqlite:///{tmp_path / 'new.db'}"
    with pytest.raises(LedgerError, match=rf"backup(\n|.)*{said}" if said != "backup: " else said):
        restore(path, url, [], "ann")
    assert not (tmp_path / "new.db").exists()


def test_a_backup_that_contradicts_a_signed_head_is_refused(full: Ledger, key: SigningKey, tmp_path: Path) -> None:
    """Somebody wrote the ledger's end anew before the backup was made."""
    with writing(full.engine) as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_entries_no_delete"))
    anchor = signed(full, key)
    with writing(full.engine) as connection:
        connection.execute(sa.text("DELETE FROM ledger_entries WHERE sequence > 3"))
    grow(full, 4)
    backup(full, tmp_path / "backup")
    with pytest.raises(LedgerError, match=r"entry 5 is another than the one signed in refs/heads/5"):
        restore(tmp_path / "backup", f"sqlite:///{tmp_path / 'new.db'}", [anchor], "ann")
    assert not (tmp_path / "new.db").exists()


def test_only_an_empty_store_is_filled(full: Ledger, tmp_path: Path, url: str) -> None:
    backup(full, tmp_path / "backup")
    taken = Ledger.open(url)
    grow(taken)
    with pytest.raises(LedgerError, match="empty store only"):
        restore(tmp_path / "backup", url, [], "ann")
    assert len(list(taken.entries())) == 1 and Ledger.open(url).id == taken.id


def test_a_ledger_that_is_empty_or_broken_is_not_backed_up_over_a_good_backup(full: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="empty"):
        backup(Ledger.open(f"sqlite:///{tmp_path / 'empty.db'}"), tmp_path / "empty")
    assert not (tmp_path / "empty").exists()
    backup(full, tmp_path / "backup")
    good = (tmp_path / "backup").read_bytes()
    with writing(full.engine) as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_entries_no_update"))
        connection.execute(sa.text("UPDATE ledger_entries SET actor = 'eve' WHERE sequence = 2"))
    with pytest.raises(LedgerError, match="entry 2: its content is not"):
        backup(full, tmp_path / "backup")
    assert (tmp_path / "backup").read_bytes() == good


def test_a_restored_ledger_goes_on_and_is_backed_up_and_restored_again(
    full: Ledger, key: SigningKey, tmp_path: Path
) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("second", "third")]
    backup(full, tmp_path / "one")
    restore(tmp_path / "one", urls[0], [], "ann")
    second = Ledger.open(urls[0])
    ensure_trusted(second, key, "ann")
    grow(second, 2)
    backup(second, tmp_path / "two")
    assert restore(tmp_path / "two", urls[1], [signed(second, key)], "ann").entry == 9
    assert check_chain(Ledger.open(urls[1]).entries(), heads(signed(second, key)), full.id) == []
