"""Damage anywhere is a finding that names the place, and never an exception."""

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.audit.verify.evidence import Evidence
from flows.audit.verify.state import readable
from flows.audit.verify.walk import verify
from flows.ledger.anchors import Anchor, read_anchors
from flows.ledger.bodies import RunRecorded
from flows.ledger.entry import Entry
from flows.lineage.records import Records, stage_record
from flows.signing.dsse import envelope_bytes, sign, unverified
from tests.flows.audit.verify.tampering import COLUMNS, copied, flip, restated, rewrite, verdict_on
from tests.flows.history import History

EVERY = 97  # bytes between those that are changed


@pytest.fixture(scope="module")
def entries(pristine: History) -> list[Entry]:
    return list(pristine.ledger.entries())


@pytest.fixture(scope="module")
def anchors(pristine: History) -> list[Anchor]:
    return read_anchors(pristine.root)


def judged(made: History, entries: list[Entry], anchors: list[Anchor]) -> list[tuple[str, str]]:
    evidence = Evidence(entries=entries, anchors=anchors, records=made.records)
    return [(one.what, one.where) for one in verify(evidence, (made.key.keyid,)).findings]


def places(path: Path) -> Iterator[int]:
    yield from range(0, path.stat().st_size, EVERY)


def test_any_changed_byte_of_a_run_statement_is_found(history: History, entries, anchors) -> None:
    run_id = history.runs[0].run_id
    path = history.records.run_path(run_id)
    for at in list(places(path))[::8]:
        flip(path, at)
        found = judged(history, entries, anchors)
        assert any(where == f"run {run_id}" for _, where in found), f"byte {at}"
        flip(path, at)


def test_any_changed_byte_of_a_record_is_found_with_its_name(history: History, entries, anchors) -> None:
    """One byte in every record of a run, each somewhere else."""
    statement = history.records.run(history.runs[2].run_id)
    draw = random.Random(3)
    names = {sha256: name for name, sha256 in sorted(statement.files.items(), reverse=True)}
    for sha256 in names:
        path = history.records.path(sha256)
        flip(path, draw.randrange(path.stat().st_size))
    found = judged(history, entries, anchors)
    altered = {where.partition(": ")[2] for what, where in found if what == "record/altered"}
    assert altered == set(names.values())


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "sequence"])
def test_any_changed_byte_of_a_ledger_row_is_found(history: History, anchors, column: str) -> None:
    rewrite(history, lambda rows: rows)  # drops the triggers
    draw = random.Random(column)
    with sqlite3.connect(history.state / "ledger.db") as connection:
        rows = connection.execute(f"SELECT sequence, {column} FROM ledger_entries").fetchall()
        for sequence, text in rows[1::3]:
            content = bytearray(text.encode())
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            update = f"UPDATE ledger_entries SET {column} = CAST(? AS TEXT) WHERE sequence = ?"
            connection.execute(update, (bytes(content), sequence))
            connection.commit()
            found = judged(history, list(readable(history.ledger)), anchors)
            named = {where.split(" (")[0] for what, where in found if what.startswith("ledger/")}
            assert f"ledger entry {sequence}" in named, f"{column} of entry {sequence}: {bytes(content)[:80]!r}"
            connection.execute(update, (text.encode(), sequence))
            connection.commit()
    connection.close()


def test_any_changed_byte_of_a_signed_head_is_found(pristine: History, entries, anchors) -> None:
    content = envelope_bytes(anchors[0].envelope)
    for at in range(0, len(content), EVERY):
        damaged = bytearray(content)
        damaged[at] ^= 2
        try:
            envelope = json.loads(damaged)
        except ValueError:
            envelope = {}
        found = judged(pristine, entries, [Anchor("a ref", envelope if isinstance(envelope, dict) else {})])
        assert "a ref" in {where for _, where in found}, f"byte {at}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
NAMES = [
    "decision.json",
    "gate-inputs.json",
    "params.yaml",
    "dvc.lock",
    "environment.json",
    "data/sources.json",
    stage_record("validate", "verdict.json"),
    stage_record("evaluate", "report.json"),
    stage_record("train_worldrec", "manifest.json"),
    stage_record("worldgen_dmd", "statement.json"),
]


@pytest.fixture(scope="module")
def malleable(pristine: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    made = copied(pristine, tmp_path_factory.mktemp("malleable"))
    yield made
    made.ledger.close()


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _paths(inner, (*at, key))


def _replaced(value: Any, at: tuple[Any, ...], by: Any) -> Any:
    if not at:
        return by
    changed = value.copy()
    changed[at[0]] = _replaced(value[at[0]], at[1:], by)
    return changed


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(name=st.sampled_from(NAMES), where=st.integers(0, 10_000), by=JSON)
def test_whatever_a_trusted_runner_signs_is_judged(malleable: History, name: str, where: int, by: Any) -> None:
    """Any value in place of any part of any record: the verifier may or may not mind, but it comes to an end."""
    content = malleable.records.path(malleable.records.run(malleable.runs[0].run_id).files[name]).read_bytes()
    try:
        value = json.loads(content)
    except ValueError:
        changed = content[: where % len(content)] + json.dumps(by).encode()
    else:
        paths = list(_paths(value))
        changed = json.dumps(_replaced(value, paths[where % len(paths)], by)).encode()
    original = malleable.records.run_path(malleable.runs[0].run_id).read_bytes()
    restated(malleable, 0, {name: changed})
    assert isinstance(verdict_on(malleable, quick=True).findings, list)
    malleable.records.run_path(malleable.runs[0].run_id).write_bytes(original)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(where=st.integers(0, 10_000), by=JSON, stage=st.booleans())
def test_whatever_a_trusted_runner_states_is_judged(malleable: History, where: int, by: Any, stage: bool) -> None:
    """Any value in place of any part of the payload of a run's statement, or of a stage's."""
    run_id = malleable.runs[0].run_id
    path = malleable.records.run_path(run_id)
    original = path.read_bytes()
    statement = malleable.records.run(run_id)
    envelope = malleable.records.envelope(statement, "worldgen_dmd") if stage else statement.envelope
    payload = unverified(envelope, "")
    paths = list(_paths(payload))[1:]
    signed = sign(_replaced(payload, paths[where % len(paths)], by), malleable.key)
    if stage:
        restated(malleable, 0, {stage_record("worldgen_dmd", "statement.json"): envelope_bytes(signed)})
    else:
        _restate(malleable, signed)
    assert isinstance(verdict_on(malleable, quick=True).findings, list)
    path.write_bytes(original)


def _restate(made: History, envelope: dict[str, Any]) -> None:
    run_id = made.runs[0].run_id
    sha256 = made.records.add_run(run_id, envelope)
    last = [entry.body or {} for entry in made.ledger.entries(kinds=("run.recorded",))]
    body = next(body for body in last if body["run_id"] == run_id)
    made.ledger.append(RunRecorded.model_validate(body | {"statement_sha256": sha256}), "somebody")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"payload": 1, "signatures": [1]}'])
def test_a_statement_of_anything_else_is_a_finding(history: History, entries, anchors, content: bytes) -> None:
    run_id = history.runs[0].run_id
    history.records.run_path(run_id).write_bytes(content)
    assert (f"run {run_id}") in {where for _, where in judged(history, entries, anchors)}


def test_folders_in_place_of_files_are_findings(history: History, entries, anchors) -> None:
    statement = history.records.run(history.runs[0].run_id)
    path = history.records.path(statement.files["decision.json"])
    path.unlink()
    path.mkdir()
    workspace = history.workspace(history.runs[0])
    (workspace / "dvc.lock").unlink()
    (workspace / "dvc.lock").mkdir()
    found = [(one.what, one.where) for one in verdict_on(history).findings]
    assert ("record/missing", f"run {history.runs[0].run_id}: decision.json") in found
    assert ("disk/missing", f"workspace {workspace.name}: dvc.lock") in found


def test_no_records_at_all_are_findings(history: History, entries, anchors, tmp_path: Path) -> None:
    evidence = Evidence(entries=entries, anchors=anchors, records=Records(tmp_path / "nowhere"))
    found = verify(evidence, (history.key.keyid,)).findings
    assert [one.what for one in found if one.what.startswith("run/")] == ["run/no-statement"] * 3
