"""Signed heads on git refs: written once, in a row, read back from runs and the ledger's own ref."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.git import git
from flows.ledger.anchors import HEAD_NAME, LEDGER_REF, Anchor, anchor, read_anchors, read_head, signed_head
from flows.ledger.bodies import DataRecalled
from flows.ledger.chain import check_chain
from flows.ledger.store import Ledger
from flows.signing.dsse import envelope_bytes
from flows.signing.keys import SigningKey, make_key
from flows.workspace import record, take_snapshot
from worldmodel.errors import LedgerError, SigningError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "code.py").write_text("x = 1\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=first")
    return root


def grow(ledger: Ledger) -> None:
    ledger.append(DataRecalled(what="log", id="a", reason="b"), "ann")


def test_a_head_names_the_ledger_and_its_last_entry(ledger: Ledger, key: SigningKey) -> None:
    with pytest.raises(LedgerError, match="no head"):
        signed_head(ledger, key)
    grow(ledger)
    head = read_head(Anchor("here", signed_head(ledger, key)), {key.keyid: key.public})
    last = ledger.entry(1)
    assert (head.ledger, head.sequence, head.hash, head.time) == (ledger.id, 1, last.hash, last.time)


def test_heads_stand_in_a_row_on_the_ledgers_ref_each_once(checkout: Path, ledger: Ledger, key: SigningKey) -> None:
    assert read_anchors(checkout) == []
    before = git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD")
    for _ in range(3):
        grow(ledger)
        anchor(checkout, ledger, key)
        assert anchor(checkout, ledger, key).sequence == ledger.newest(1)[0].sequence
    found = read_anchors(checkout)
    heads = [read_head(each, {key.keyid: key.public}) for each in found]
    assert [head.sequence for head in heads] == [1, 2, 3]
    assert [each.where for each in found] == git(checkout, "rev-list", "--reverse", LEDGER_REF).split()
    assert check_chain(ledger.entries(), heads, ledger.id) == []
    assert (git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD")) == before


def test_heads_on_the_refs_of_runs_are_read_as_well(checkout: Path, ledger: Ledger, key: SigningKey) -> None:
    snapshot = take_snapshot(checkout, "seed: 1\n", "{}\n")
    record(checkout, "run-0", snapshot)  # of a run that was killed before it had a head
    for number in (1, 2):
        grow(ledger)
        head = envelope_bytes(signed_head(ledger, key))
        record(checkout, f"run-{number}", snapshot, {"dvc.lock": b"stages: {}\n", HEAD_NAME: head})
    anchor(checkout, ledger, key)
    found = read_anchors(checkout)
    assert [each.where for each in found[:2]] == ["refs/worldmodel/runs/run-1", "refs/worldmodel/runs/run-2"]
    assert [read_head(each, {key.keyid: key.public}).sequence for each in found] == [1, 2, 2]


def test_several_at_once_lose_no_head(checkout: Path, ledger: Ledger, key: SigningKey) -> None:
    def act(_: int) -> None:
        grow(ledger)
        anchor(checkout, ledger, key)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(act, range(6)))
    heads = [read_head(each, {key.keyid: key.public}) for each in read_anchors(checkout)]
    sequences = [head.sequence for head in heads]
    assert sequences[-1] == 6 and sequences == sorted(set(sequences))
    assert check_chain(ledger.entries(), heads, ledger.id) == []


def test_a_head_of_an_unknown_key_or_an_altered_one_is_refused(
    checkout: Path, ledger: Ledger, key: SigningKey, tmp_path: Path
) -> None:
    grow(ledger)
    anchor(checkout, ledger, key)
    (found,) = read_anchors(checkout)
    stranger = make_key(tmp_path / "stranger.pem").public
    with pytest.raises(SigningError, match="no trusted key"):
        read_head(found, {stranger.keyid: stranger})
    found.envelope["payload"] = signed_head(ledger, key)["payload"][:-4] + "AAAA"
    with pytest.raises(SigningError, match=found.where):
        read_head(found, {key.keyid: key.public})


@pytest.mark.parametrize("content", [b"not JSON", b"[]", b"\xff\xfe", b"", b"[" * 100_000])
def test_what_is_no_head_is_read_as_an_empty_envelope(checkout: Path, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(content)
    blob = git(checkout, "hash-object", "-w", str(file))
    inner = git(checkout, "mktree", stdin=f"100644 blob {blob}\tledger-head.json\n")
    tree = git(checkout, "mktree", stdin=f"040000 tree {inner}\trecords\n")
    git(checkout, "update-ref", LEDGER_REF, git(checkout, "commit-tree", tree, "-m", "forged"))
    (found,) = read_anchors(checkout)
    assert found.envelope == {}
    with pytest.raises(SigningError, match="not a DSSE envelope"):
        read_head(found, {})


def test_a_replacement_in_git_does_not_hide_a_head(checkout: Path, ledger: Ledger, key: SigningKey) -> None:
    for _ in range(2):
        grow(ledger)
        anchor(checkout, ledger, key)
    tip = git(checkout, "rev-parse", LEDGER_REF)
    git(checkout, "replace", tip, f"{tip}~1")
    heads = [read_head(each, {key.keyid: key.public}) for each in read_anchors(checkout)]
    assert [head.sequence for head in heads] == [1, 2]
