"""A ledger trusts only keys that an admin's key vouched for, back to its first entry."""

import copy
from pathlib import Path

import pytest

from flows.ledger.bodies import DataRecalled, KeyRevoked, KeyTrusted
from flows.ledger.keys import key_findings
from flows.ledger.standing import trusted_keys
from flows.ledger.store import Ledger
from flows.ledger.trust import ensure_trusted, keys_of, revoke, trust
from flows.signing.dsse import sign
from flows.signing.keys import SigningKey, make_key
from flows.signing.statements import TRUST, TrustFacts, fact_statement
from worldmodel.errors import SigningError


@pytest.fixture
def other(tmp_path: Path) -> SigningKey:
    return make_key(tmp_path / "other" / "key.pem")


def vouched(signer: SigningKey, whose: SigningKey, **said: object) -> KeyTrusted:
    """An entry's body that trusts a key by the word of `signer`; `said` differs from what was signed."""
    owner, roles = "bob", ("admin",)
    facts = TrustFacts(keyid=whose.keyid, public_key=whose.public.pem, owner=owner, roles=roles)
    envelope = sign(fact_statement(facts, TRUST, {"key": whose.keyid}), signer)
    body = KeyTrusted(keyid=whose.keyid, public_key=whose.public.pem, owner=owner, roles=roles, envelope=envelope)
    return body.model_copy(update=said)


def test_an_empty_ledger_takes_its_first_key_as_the_root(ledger: Ledger, key: SigningKey) -> None:
    ensure_trusted(ledger, key, "ann")
    ensure_trusted(ledger, key, "ann")
    (entry,) = ledger.entries()
    found = keys_of(ledger)[key.keyid]
    assert (found.owner, found.roles, found.sequence, found.since) == ("ann", ("admin", "runner"), 1, entry.time)
    assert found.may("runner") and found.may("admin") and not found.may("approver")
    assert key_findings(ledger.entries(), (key.keyid,)) == []


def test_a_second_key_is_let_in_by_an_admin_alone(ledger: Ledger, key: SigningKey, other: SigningKey) -> None:
    ensure_trusted(ledger, key, "ann")
    with pytest.raises(SigningError, match=r"trust FILE\.pub --owner NAME --role runner"):
        ensure_trusted(ledger, other, "bob")
    trust(ledger, key, other.public, "bob", ["approver"], "ann")
    with pytest.raises(SigningError, match="bob's key, trusted as approver"):
        ensure_trusted(ledger, other, "bob")
    with pytest.raises(SigningError, match=r"may not let keys in or out(\n.*)*\(ann\)"):
        trust(ledger, other, other.public, "bob", ["runner"], "bob")
    trust(ledger, key, other.public, "bob", ["approver", "runner"], "ann")
    ensure_trusted(ledger, other, "bob")
    found = keys_of(ledger)[other.keyid]
    assert (found.roles, found.first, found.sequence) == (("approver", "runner"), 2, 3)
    assert keys_of(ledger, until=ledger.entry(2).time)[other.keyid].roles == ("approver",)


def test_an_empty_ledger_can_begin_with_letting_another_key_in(
    ledger: Ledger, key: SigningKey, other: SigningKey
) -> None:
    assert trust(ledger, key, other.public, "ci", ["runner"], "ann").sequence == 2
    assert keys_of(ledger)[key.keyid].may("admin")
    ensure_trusted(ledger, other, "ci")


def test_a_revoked_key_signs_nothing_more_and_never_comes_back(
    ledger: Ledger, key: SigningKey, other: SigningKey
) -> None:
    trust(ledger, key, other.public, "bob", ["runner", "admin"], "ann")
    entry = revoke(ledger, key, other.keyid, "the laptop was stolen", "ann")
    found = keys_of(ledger)[other.keyid]
    assert (found.revoked_at, found.revoked_sequence) == (entry.time, 3)
    assert not found.may("runner")
    for attempt in (
        lambda: ensure_trusted(ledger, other, "bob"),
        lambda: trust(ledger, key, other.public, "bob", ["runner"], "ann"),
        lambda: trust(ledger, other, other.public, "bob", ["runner"], "bob"),
        lambda: revoke(ledger, key, other.keyid, "again", "ann"),
    ):
        with pytest.raises(SigningError, match="the laptop was stolen"):
            attempt()
    assert ledger.head() == entry
    assert keys_of(ledger, until=ledger.entry(2).time)[other.keyid].revoked_at is None


def test_the_last_key_of_an_admin_stays(ledger: Ledger, key: SigningKey, other: SigningKey) -> None:
    ensure_trusted(ledger, key, "ann")
    with pytest.raises(SigningError, match="the last of an admin"):
        revoke(ledger, key, key.keyid, "done", "ann")
    with pytest.raises(SigningError, match="the last of an admin"):
        trust(ledger, key, key.public, "ann", ["runner"], "ann")
    trust(ledger, key, other.public, "bob", ["admin"], "ann")
    revoke(ledger, key, key.keyid, "done", "ann")
    assert [k.owner for k in keys_of(ledger).values() if k.may("admin")] == ["bob"]


def test_unknown_keys_and_nobodys_keys_are_refused(ledger: Ledger, key: SigningKey, other: SigningKey) -> None:
    ensure_trusted(ledger, key, "ann")
    with pytest.raises(SigningError, match="does not know"):
        revoke(ledger, key, "f" * 64, "why", "ann")
    for owner, roles in (("", ["runner"]), (" ", ["runner"]), ("bob", [])):
        with pytest.raises(SigningError, match="owner and at least one role"):
            trust(ledger, key, other.public, owner, roles, "ann")  # type: ignore[arg-type]


def test_a_ledger_that_began_with_something_else_trusts_nobody(ledger: Ledger, key: SigningKey) -> None:
    ledger.append(DataRecalled(what="log", id="a", reason="b"), "ann")
    ledger.append(vouched(key, key), "ann")
    assert keys_of(ledger) == {}
    assert [f.where for f in key_findings(ledger.entries())] == ["ledger entry 2"]
    with pytest.raises(SigningError, match="does not know"):
        ensure_trusted(ledger, key, "ann")


def test_keys_that_vouch_for_themselves_are_found_and_trusted_by_nobody(
    ledger: Ledger, key: SigningKey, other: SigningKey
) -> None:
    ensure_trusted(ledger, key, "ann")
    ledger.append(vouched(other, other), "eve")
    assert list(keys_of(ledger)) == [key.keyid]
    (finding,) = key_findings(ledger.entries())
    assert (finding.what, finding.where) == ("key/not-proven", "ledger entry 2")
    assert "signed by no trusted key" in finding.sentence


def test_a_revoked_admin_vouches_for_nobody(ledger: Ledger, key: SigningKey, other: SigningKey, tmp_path: Path) -> None:
    trust(ledger, key, other.public, "bob", ["admin"], "ann")
    revoke(ledger, key, other.keyid, "left", "ann")
    third = make_key(tmp_path / "third.pem")
    ledger.append(vouched(other, third), "eve")
    assert third.keyid not in keys_of(ledger)
    assert [f.where for f in key_findings(ledger.entries())] == ["ledger entry 4"]


def test_an_entry_that_says_other_than_was_signed_trusts_nobody(
    ledger: Ledger, key: SigningKey, other: SigningKey, tmp_path: Path
) -> None:
    ensure_trusted(ledger, key, "ann")
    third = make_key(tmp_path / "third.pem")
    forged = copy.deepcopy(vouched(key, other).envelope)
    forged["signatures"][0]["sig"] = vouched(other, other).envelope["signatures"][0]["sig"]
    for said in (
        {"roles": ("admin", "runner", "approver")},
        {"owner": "eve"},
        {"keyid": third.keyid, "public_key": third.public.pem},
        {"public_key": third.public.pem},
        {"envelope": forged},
        {"envelope": {}},
        {"envelope": sign({"_type": "other"}, key)},
    ):
        ledger.append(vouched(key, other, **said), "eve")
    assert list(keys_of(ledger)) == [key.keyid]
    assert [f.where for f in key_findings(ledger.entries())] == [f"ledger entry {n}" for n in range(2, 9)]


def test_a_revocation_of_a_key_that_nobody_trusted_is_found(ledger: Ledger, key: SigningKey) -> None:
    ensure_trusted(ledger, key, "ann")
    ledger.append(KeyRevoked(keyid="f" * 64, reason="?"), "eve")
    assert [f.where for f in key_findings(ledger.entries())] == ["ledger entry 2"]


def test_a_root_that_is_not_the_auditors_is_not_trusted_nor_what_it_vouched_for(
    ledger: Ledger, key: SigningKey, other: SigningKey
) -> None:
    trust(ledger, key, other.public, "bob", ["runner"], "ann")
    assert set(trusted_keys(ledger.entries(), (other.keyid, key.keyid))) == {key.keyid, other.keyid}
    assert trusted_keys(ledger.entries(), (other.keyid,)) == {}
    found = key_findings(ledger.entries(), (other.keyid,))
    assert "not the one you trust" in found[0].sentence and len(found) == 2
