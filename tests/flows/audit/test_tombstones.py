"""What retention deleted."""

from flows.audit.books import Books, open_books
from flows.audit.tombstones import tombstones
from flows.ledger.bodies import Deleted, RetentionDeleted
from tests.flows.history import History


def test_every_round_is_told_with_its_rule_and_what_went(made: History) -> None:
    items = (
        Deleted(kind="workspace", path="workspaces/one", bytes=3000),
        Deleted(kind="object", path="cache/files/md5/aa/bb", bytes=40, digest="a" * 32),
        Deleted(kind="object", path="cache/files/md5/cc/dd", bytes=2, digest="b" * 32),
    )
    entry = made.ledger.append(RetentionDeleted(rule="older than 30 days", items=items), "ada")
    with open_books(made.state) as books:
        (found,) = tombstones(books).tombstones
    assert (found.sequence, found.time, found.actor, found.rule) == (
        entry.sequence,
        entry.time,
        "ada",
        "older than 30 days",
    )
    assert (found.counts, found.bytes, found.items) == ({"object": 2, "workspace": 1}, 3042, items)
    with open_books(made.state, at=made.after[2]) as then:
        assert tombstones(then).tombstones == ()


def test_where_nothing_was_deleted_there_is_no_tombstone(books: Books) -> None:
    assert tombstones(books).tombstones == ()
