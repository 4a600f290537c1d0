"""The commands about keys and the ledger, in a checkout."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.commands import keys as commands
from flows.git import git
from flows.ledger.anchors import read_anchors, read_head
from flows.ledger.bodies import BODIES, ModelRegistered
from flows.ledger.store import Ledger
from flows.signing.keys import load_key, make_key, read_public
from worldmodel.errors import LedgerError, ParamsError, SigningError


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout, where ann works with a key that is to be made."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "dvc.yaml").write_text("stages: {}\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=first")
    monkeypatch.chdir(root)
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("WORLDMODEL_ACTOR", "ann")
    for name in ("WORLDMODEL_LEDGER_URL", "WORLDMODEL_SIGNING_KEY", "WORLDMODEL_KEY_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def ledger(checkout: Path, tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")


class Said:
    """What commands print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self) -> str:
        output = self._capsys.readouterr().out
        assert all(len(line) <= 80 and "…" not in line for line in output.splitlines() if "/" not in line)
        return " ".join(output.split())

    def json(self) -> Any:
        return json.loads(self._capsys.readouterr().out)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def test_keygen_makes_this_users_key_once_and_prints_only_its_public_side(
    checkout: Path, tmp_path: Path, said: Said
) -> None:
    assert commands.keygen(None, as_json=True) == 0
    found = said.json()
    private = tmp_path / "config" / "worldmodel" / "keys" / "signing.pem"
    assert found == {"keyid": load_key(private).keyid, "public": f"{private}.pub", "private": str(private)}
    with pytest.raises(SigningError, match="never replaced"):
        commands.keygen(None, as_json=False)
    other = tmp_path / "other.pem"
    assert commands.keygen(other, as_json=False) == 0
    text = said.text()
    assert load_key(other).keyid in text and f"WORLDMODEL_SIGNING_KEY={other}" in text and "BEGIN" not in text
    (tmp_path / "file").touch()
    with pytest.raises(SigningError, match="cannot be written"):
        commands.keygen(tmp_path / "file" / "key.pem", as_json=False)


def test_keys_are_let_in_listed_and_taken_out_and_each_time_anchored(
    checkout: Path, ledger: Ledger, tmp_path: Path, said: Said
) -> None:
    bob = make_key(tmp_path / "bob.pem")
    assert commands.list_keys(None, as_json=False) == 0
    assert "trusts no key yet" in said.text()
    assert commands.trust(tmp_path / "bob.pem.pub", "bob", ["approver", "runner"], as_json=True) == 0
    assert said.json() == {"keyid": bob.keyid, "owner": "bob", "roles": ["runner", "approver"], "entry": 2}
    moment = ledger.entry(2).time
    assert commands.revoke(bob.keyid[:8], "left", as_json=False) == 0
    assert bob.keyid[:16] in said.text()
    assert commands.list_keys(None, as_json=True) == 0
    ann, gone = said.json()
    assert (ann["owner"], ann["roles"], ann["revoked_at"]) == ("ann", ["admin", "runner"], None)
    assert (gone["owner"], gone["revoked_at"], gone["revoked_because"]) == ("bob", ledger.entry(3).time, "left")
    assert commands.list_keys(moment, as_json=True) == 0
    assert [key["revoked_at"] for key in said.json()] == [None, None]
    assert commands.list_keys(None, as_json=False) == 0
    assert f"{bob.keyid[:16]} bob runner," in said.text()
    key = read_public(tmp_path / "config" / "worldmodel" / "keys" / "signing.pem.pub")
    assert [read_head(each, {key.keyid: key}).sequence for each in read_anchors(checkout)] == [2, 3]


def test_bad_roles_files_and_key_ids_are_named(checkout: Path, ledger: Ledger, tmp_path: Path) -> None:
    make_key(tmp_path / "bob.pem")
    with pytest.raises(ParamsError, match=r"admin or runner or approver(\n.*)*boss"):
        commands.trust(tmp_path / "bob.pem.pub", "bob", ["boss"], as_json=False)
    with pytest.raises(SigningError, match=r"nobody\.pub"):
        commands.trust(tmp_path / "nobody.pub", "bob", ["runner"], as_json=False)
    with pytest.raises(SigningError, match=r"bob\.pem: not a public key"):
        commands.trust(tmp_path / "bob.pem", "bob", ["runner"], as_json=False)
    assert ledger.head() is None
    commands.trust(tmp_path / "bob.pem.pub", "bob", ["runner"], as_json=False)
    for start in ("", "abc", "zzzzzz"):
        with pytest.raises(SigningError, match="no key begins"):
            commands.revoke(start, "why", as_json=False)


def test_the_newest_entries_are_listed_by_kind_and_moment(checkout: Path, ledger: Ledger, said: Said) -> None:
    assert commands.list_entries([], 20, None, as_json=False) == 0
    assert "nothing is recorded yet" in said.text()
    for version in "1234":
        parts = {"worldgen": "e" * 64}
        ledger.append(
            ModelRegistered(name="toy", version=version, model_sha256="d" * 64, run_id="r", parts=parts), "ann"
        )
    assert commands.list_entries([], 2, None, as_json=True) == 0
    assert [entry["sequence"] for entry in said.json()] == [3, 4]
    assert commands.list_entries(["model.registered"], 9, ledger.entry(2).time, as_json=True) == 0
    assert [entry["body"]["version"] for entry in said.json()] == ["1", "2"]
    assert commands.list_entries(["key.trusted"], 9, None, as_json=True) == 0
    assert said.json() == []
    assert commands.list_entries([], 1, None, as_json=False) == 0
    text = said.text()
    assert f"4 {ledger.entry(4).time[:10]}" in text and "ann model.registered name toy, version 4" in text
    assert "d" * 12 in text and "d" * 13 not in text
    with pytest.raises(ParamsError, match=r"key\.trusted(.|\n)*model\.made"):
        commands.list_entries(["model.made"], 1, None, as_json=False)


def test_every_kind_of_entry_has_a_line_without_envelopes(checkout: Path, ledger: Ledger) -> None:
    from flows.ledger.entry import next_entry

    for kind, body in BODIES.items():
        fields = dict.fromkeys(body.model_fields, "x") | {"envelope": {"payload": "?"}, "public_key": "?"}
        line = commands.said(next_entry(None, "", "ann", kind, fields))
        assert "x" in line and "?" not in line
    items = [{"kind": "cache", "path": "p", "bytes": 3}] * 2
    assert commands.said(next_entry(None, "", "ann", "retention.deleted", {"rule": "old", "items": items})) == (
        "rule old, items 2"
    )


def test_a_backup_restores_what_was_lost_and_says_what_is_not_in_it(
    checkout: Path, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    make_key(tmp_path / "bob.pem")
    commands.trust(tmp_path / "bob.pem.pub", "bob", ["runner"], as_json=False)
    said.text()
    assert commands.backup_ledger(tmp_path / "backup", as_json=True) == 0
    assert (header := said.json())["sequence"] == 2 and header["ledger"] == ledger.id
    assert commands.backup_ledger(tmp_path / "backup", as_json=False) == 0
    assert f"2 entries, up to {ledger.entry(2).time}; sha256 {header['sha256']}" in said.text()
    ledger.append(ModelRegistered(name="toy", version="1", model_sha256="d" * 64, run_id="r", parts={}), "ann")
    assert commands.anchor_head(as_json=True) == 0
    assert said.json()["sequence"] == 3
    with pytest.raises(LedgerError, match="empty store only"):
        commands.restore_ledger(tmp_path / "backup", as_json=False)
    monkeypatch.setenv("WORLDMODEL_LEDGER_URL", f"sqlite:///{tmp_path / 'new.db'}")
    assert commands.restore_ledger(tmp_path / "backup", as_json=False) == 0
    text = said.text()
    assert "2 entries are back" in text and "entry 3 records it" in text and "signed heads 3" in text
    monkeypatch.setenv("WORLDMODEL_LEDGER_URL", f"sqlite:///{tmp_path / 'newer.db'}")
    assert commands.restore_ledger(tmp_path / "backup", as_json=True) == 0
    assert said.json()["lost"] == [3]


def test_only_a_trusted_key_anchors(
    checkout: Path, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path / "bob.pem")
    commands.trust(tmp_path / "bob.pem.pub", "bob", ["runner"], as_json=False)
    make_key(tmp_path / "eve.pem")
    make_key(tmp_path / "approver.pem")
    commands.trust(tmp_path / "approver.pem.pub", "ada", ["approver"], as_json=False)
    for name in ("eve", "approver"):
        monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(tmp_path / f"{name}.pem"))
        with pytest.raises(SigningError, match="nobody would believe"):
            commands.anchor_head(as_json=False)
    assert len(read_anchors(checkout)) == 2
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(tmp_path / "bob.pem"))
    assert commands.anchor_head(as_json=False) == 0
    assert len(read_anchors(checkout)) == 3
