"""A ledger that was changed, in any of the ways that SQL allows, is found; so is another one put in its place."""

import base64
import dataclasses
import json
import sqlite3
from pathlib import Path

import pytest

from flows.audit.verify.evidence import Evidence
from flows.audit.verify.state import evidence_of
from flows.audit.verify.walk import verify
from flows.ledger.anchors import anchor, read_anchors
from flows.ledger.bodies import BODIES, DataRecalled, KeyTrusted
from flows.ledger.store import Ledger
from flows.ledger.trust import ensure_trusted, trust
from flows.signing.dsse import sign
from flows.signing.keys import make_key
from flows.signing.statements import TRUST, TrustFacts, fact_statement
from tests.flows.audit.verify.tampering import Row, codes, edited, rewrite, verdict_on
from tests.flows.history import History


def ledger_findings(made: History) -> list[tuple[str, str]]:
    found = verdict_on(made, quick=True).findings
    return [(one.what, one.where) for one in found if one.what.startswith("ledger/")]


def test_a_changed_entry_is_named(history: History) -> None:
    rewrite(history, edited("promotion.intended", 0, reason="because I say so"))
    assert ledger_findings(history) == [("ledger/changed", "ledger entry 3")]


def test_a_removed_entry_is_named(history: History) -> None:
    rewrite(history, lambda rows: [row for row in rows if row["sequence"] != 7])
    assert ledger_findings(history) == [("ledger/removed", "ledger entry 7")]


def test_reordered_entries_are_named(history: History) -> None:
    def swap(rows: list[Row]) -> list[Row]:
        rows[3]["sequence"], rows[4]["sequence"] = rows[4]["sequence"], rows[3]["sequence"]
        return rows

    rewrite(history, swap)
    named = ledger_findings(history)
    assert {("ledger/reordered", f"ledger entry {n}") for n in (4, 5)} <= set(named)


def test_an_end_that_was_cut_off_is_found_by_the_signed_heads(history: History) -> None:
    rewrite(history, lambda rows: rows[:-2])
    assert [code for code, _ in ledger_findings(history)] == ["ledger/truncated"]


def test_entries_chained_anew_are_found_by_the_signed_heads(history: History) -> None:
    rewrite(history, edited("run.recorded", 0, status="refused"), chained=True)
    assert "ledger/fork" in [code for code, _ in ledger_findings(history)]


def test_a_ledger_written_from_scratch_with_the_same_key_is_found(history: History) -> None:
    bodies = [(entry.kind, entry.body) for entry in history.ledger.entries()]
    history.ledger.close()
    for path in history.state.glob("ledger.db*"):
        path.unlink()
    history.ledger = Ledger.open(history.ledger.url)
    ensure_trusted(history.ledger, history.key, "trainer")
    for kind, body in bodies[1:]:
        history.ledger.append(BODIES[kind].model_validate(body), "trainer")
    found = verdict_on(history).findings
    assert codes(found) == {"ledger/other-ledger"}, "everything else was made to fit"


@pytest.mark.parametrize("empty", [False, True])
def test_a_ledger_that_is_lost_is_one_finding_that_says_how_far_it_went(
    history: History, tmp_path: Path, empty: bool
) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'empty.db'}") if empty else None
    evidence, root = evidence_of(history.root, history.state, ledger), history.key
    verdict = verify(evidence, (root.keyid,), quick=True, keys=[root.public])
    (only,) = verdict.findings
    end = history.ledger.head()
    assert only.what == "ledger/lost" and end is not None
    assert only.sentence == (
        f"the ledger is gone or empty, git has heads up to {end.sequence}; worldmodel audit restore FILE"
    )


def test_a_lost_ledger_is_not_told_from_heads_of_others(history: History, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.pem")
    evidence = evidence_of(history.root, history.state, None)
    for keys in ([], [other.public]):
        (only,) = verify(evidence, (other.keyid,), quick=True, keys=keys).findings
        assert only.what == "ledger/lost" and "that the given key did not sign" in only.sentence


def test_a_forged_head_of_a_lost_ledger_is_named(history: History, tmp_path: Path) -> None:
    forged = read_anchors(history.root)[0]
    forged.envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    evidence = dataclasses.replace(evidence_of(history.root, history.state, None), anchors=[forged])
    found = verify(evidence, (history.key.keyid,), quick=True, keys=[history.key.public]).findings
    assert [one.what for one in found] == ["signature/forged", "ledger/lost"]


def test_heads_that_an_admin_signs_count_and_those_of_an_approver_do_not(history: History, tmp_path: Path) -> None:
    admin, approver = (make_key(tmp_path / f"{name}.pem") for name in ("admin", "approver"))
    trust(history.ledger, history.key, admin.public, "ada", ["admin"], "root")
    trust(history.ledger, admin, approver.public, "bob", ["approver"], "ada")
    anchor(history.root, history.ledger, admin)
    assert verdict_on(history, quick=True).findings == []
    anchor(history.root, history.ledger, approver)
    assert codes(verdict_on(history, quick=True).findings) == {"signature/not-trusted"}
    rewrite(history, lambda rows: rows[:-1])
    assert ledger_findings(history) == [("ledger/truncated", "ledger entry 12")], "and are held against the ledger"


def test_another_root_key_than_the_one_that_is_trusted_is_found(history: History, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.pem")
    found = verify(evidence_of(history.root, history.state, history.ledger), (other.keyid,), quick=True).findings
    assert [one.where for one in found] == ["ledger entry 1"]
    assert other.keyid[:16] in found[0].sentence and history.key.keyid[:16] in found[0].sentence


def test_a_key_that_no_admin_has_trusted_is_found(history: History, tmp_path: Path) -> None:
    intruder = make_key(tmp_path / "intruder.pem")
    facts = TrustFacts(keyid=intruder.keyid, public_key=intruder.public.pem, owner="me", roles=("admin", "runner"))
    envelope = sign(fact_statement(facts, TRUST, {"key": intruder.keyid}), intruder)
    entry = history.ledger.append(KeyTrusted(**facts.model_dump(), envelope=envelope), "me")
    found = verdict_on(history, quick=True).findings
    assert [(one.what, one.where) for one in found] == [("key/not-proven", f"ledger entry {entry.sequence}")]


def test_a_head_that_nobody_trusted_has_signed_does_not_count(history: History, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger.pem")
    history.ledger.append(DataRecalled(what="log", id="log-a", reason="consent withdrawn"), "privacy")
    anchor(history.root, history.ledger, stranger)
    (only,) = verdict_on(history, quick=True).findings
    assert only.what == "signature/unknown-key"


@pytest.mark.parametrize("kind", ["run.recorded", "promotion.intended", "model.registered", "key.trusted"])
def test_a_body_that_its_kind_does_not_have_is_found(history: History, kind: str) -> None:
    rewrite(history, edited(kind, 0, surplus=1))
    assert "ledger/body" in [code for code, _ in ledger_findings(history)]


def test_an_entry_of_an_unknown_kind_is_found(history: History) -> None:
    def change(rows: list[Row]) -> list[Row]:
        rows[4]["kind"] = "run.imagined"
        return rows

    rewrite(history, change)
    assert ("ledger/unknown-kind", "ledger entry 5 (run.imagined)") in ledger_findings(history)


def test_a_row_that_the_database_cannot_read_is_named_and_the_others_are_read(history: History) -> None:
    rewrite(history, lambda rows: rows)
    with sqlite3.connect(history.state / "ledger.db") as connection:
        connection.execute("UPDATE ledger_entries SET actor = CAST(x'fffe' AS TEXT) WHERE sequence = 5")
    connection.close()
    verdict = verdict_on(history, quick=True)
    assert ("ledger/changed", "ledger entry 5") in [(one.what, one.where) for one in verdict.findings]
    assert {one.what: one.count for one in verdict.checked}["entries of the ledger"] == 11


def test_what_a_pack_leaves_out_is_not_missing(history: History) -> None:
    """One run, its records but one, and the bodies of its own entries: all that is there holds."""
    run_id, business = history.runs[0].run_id, {"key.trusted", "model.registered", "run.recorded"}
    entries = [
        entry
        if entry.kind in business and (entry.body or {}).get("run_id", run_id) == run_id
        else entry.model_copy(update={"body": None})
        for entry in history.ledger.entries()
    ]
    left_out = history.records.run(run_id).files["stages/prepare/clips.parquet"]
    history.records.path(left_out).unlink()
    for run in history.runs[1:]:
        history.records.run_path(run.run_id).unlink()
    evidence = Evidence(
        entries=entries,
        anchors=read_anchors(history.root),
        records=history.records,
        runs=frozenset({run_id}),
        left_out=frozenset({left_out}),
    )
    verdict = verify(evidence, (history.key.keyid,))
    assert verdict.findings == []
    assert {one.what: one.count for one in verdict.checked}["statements of runs"] > 0


def test_a_body_that_is_gone_is_found_where_none_may_be(history: History) -> None:
    def change(rows: list[Row]) -> list[Row]:
        rows[4]["body"] = json.dumps(None)
        return rows

    rewrite(history, change)
    assert ("ledger/changed", "ledger entry 5") in ledger_findings(history)
