"""Records on disk: kept once, whole, and found altered or gone."""

import json
from pathlib import Path

import pytest

from flows.lineage.records import Records
from flows.signing.dsse import sign
from flows.signing.keys import SigningKey, make_key
from flows.signing.statements import RunFacts, run_statement
from worldmodel.errors import RecordError, SigningError

FACTS = RunFacts(
    run_id="r1",
    actor="somebody",
    profile="tiny",
    status="promoted",
    snapshot="a" * 40,
    tree="b" * 40,
    dirty=False,
    started_at="2026-01-01T00:00:00.000000Z",
    ended_at="2026-01-01T00:01:00.000000Z",
)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return make_key(tmp_path / "key.pem")


def test_a_record_is_kept_once_under_its_digest(tmp_path: Path) -> None:
    records = Records(tmp_path)
    sha256 = records.put(b"abc")
    assert sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    before = records.path(sha256).stat().st_mtime_ns
    assert records.put(b"abc") == sha256 and records.path(sha256).stat().st_mtime_ns == before
    assert records.get(sha256) == b"abc"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [sha256], "nothing half-written stays"


def test_a_record_that_was_altered_or_is_gone_is_named(tmp_path: Path) -> None:
    records = Records(tmp_path)
    sha256 = records.put(b"abc")
    records.path(sha256).write_bytes(b"abd")
    with pytest.raises(RecordError, match=f"the report was altered\n  expected: sha256 {sha256}"):
        records.get(sha256, "the report")
    records.path(sha256).unlink()
    with pytest.raises(RecordError, match="the report is gone"):
        records.get(sha256, "the report")


def test_a_run_is_read_as_it_was_signed(tmp_path: Path, key: SigningKey) -> None:
    records = Records(tmp_path)
    files = {"stages/prepare/statement.json": records.put(b'{"a": 1}'), "params.yaml": records.put(b"seed: 7")}
    sha256 = records.add_run("r1", sign(run_statement(FACTS, files), key))
    run = records.run("r1")
    assert (run.files, run.facts, run.sha256, run.stages) == (files, FACTS, sha256, ["prepare"])
    assert records.text(run, "params.yaml") == "seed: 7" and records.json(run, "decision.json") is None
    assert records.envelope(run, "prepare") == {"a": 1} and records.run_ids() == ["r1"]
    with pytest.raises(RecordError, match="run r1 has no statement of evaluate"):
        records.envelope(run, "evaluate")


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, RecordError, "run r1 has no statement"),
        (b"{", RecordError, "not JSON"),
        (b"{}", SigningError, "not a DSSE envelope"),
    ],
)
def test_a_run_that_is_none_says_what_is_wrong(
    tmp_path: Path, content: bytes | None, error: type[Exception], says: str
) -> None:
    records = Records(tmp_path)
    records.run_path("r1").parent.mkdir(parents=True)
    if content is not None:
        records.run_path("r1").write_bytes(content)
    with pytest.raises(error, match=says):
        records.run("r1")


def test_a_run_of_a_newer_version_is_named_as_such(tmp_path: Path, key: SigningKey) -> None:
    statement = run_statement(FACTS, {"params.yaml": "0" * 64})
    newer = json.loads(json.dumps(statement).replace("urn:worldmodel:run:v1", "urn:worldmodel:run:v2"))
    records = Records(tmp_path)
    records.add_run("r1", sign(newer, key))
    with pytest.raises(RecordError, match="written by a newer version"):
        records.run("r1")


def test_the_maker_of_an_output_is_the_one_told_last(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.maker("ab" * 32) is None
    records.note_maker("ab" * 32, "1" * 64)
    records.note_maker("ab" * 32, "2" * 64)
    assert records.maker("ab" * 32) == "2" * 64
