"""What the flow signs of a run: its statements hold, are complete, and claim nothing that nobody knows."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from evaluation.base import fingerprint
from evaluation.decision import Decision
from flows.ledger.store import Ledger
from flows.ledger.trust import ensure_trusted
from flows.lineage.events import parent_run_id
from flows.lineage.recorder import Recorder
from flows.lineage.records import Records
from flows.manifest import digest, file_sha256, write_manifest
from flows.runs import RunRecord
from flows.signing.dsse import sign, unverified, verify
from flows.signing.keys import SigningKey, load_key, make_key
from flows.signing.statements import StageFacts, read_stage_statement, stage_statement
from flows.workspace import Snapshot
from worldmodel.errors import DataError, RecordError

SNAPSHOT = Snapshot("a" * 40, "b" * 40, dirty=True)
HERE = {"python": "3.11.9", "torch": "2.13.0"}
ELSEWHERE = {"python": "3.12.1", "torch": "2.12.0"}
REFUSAL = Decision(
    verdict="refuse",
    summary="refused",
    evidence=None,
    limits=None,
    report_sha256=None,
    champion_report_sha256=None,
    comparison_sha256=None,
    rules=(),
)


@dataclass
class Site:
    """A state directory with a workspace, and a run in it."""

    root: Path
    records: Records
    ledger: Ledger
    key: SigningKey

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    def recorder(self, run_id: str = "r1", **changes: Any) -> Recorder:
        fields = {"key": "k", "profile": "tiny", "dirty": True, "sources": [], "pid": 1, "started_at": 1e9} | changes
        run = RunRecord(run_id=run_id, snapshot=SNAPSHOT.commit, ended_at=1e9 + 60, **fields)
        return Recorder(self.records, self.ledger, self.key, run, SNAPSHOT, self.workspace)

    def output(self, stage: str, *names: str) -> dict[str, Any]:
        """Finishes an output of files by name, each holding its own name; its entry in `dvc.lock`."""
        folder = self.workspace / "artifacts" / stage
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        write_manifest(folder, stage)
        return {
            "cmd": f"exec python -m flows.stages.{stage}",
            "deps": [],
            "params": {"params.yaml": {"seed": 7, "threads": 2, stage: {"steps": 3}}},
            "outs": [{"path": f"artifacts/{stage}", "md5": "0" * 32 + ".dir"}],
        }

    def facts(self, recorder: Recorder, stage: str) -> StageFacts:
        """What the newest statement of a stage says, once its signature is verified."""
        sha256 = recorder._files[f"stages/{stage}/statement.json"]
        envelope = json.loads(self.records.get(sha256))
        signed = verify(envelope, {self.key.keyid: self.key.public}, stage)
        return read_stage_statement(signed.payload, stage)

    def manifest(self, stage: str) -> str:
        return file_sha256(self.workspace / "artifacts" / stage / "manifest.json")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    key = make_key(tmp_path / "keys" / "signing.pem")
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    ensure_trusted(ledger, key, "somebody")
    (tmp_path / "workspace" / "data").mkdir(parents=True)
    return Site(tmp_path, Records(tmp_path / "records"), ledger, key)


def test_the_subjects_are_the_manifest_and_the_weights_but_not_the_data(site: Site) -> None:
    weights = "tokenizer/tokenizer.safetensors"
    entry = site.output("train_tokenizer", weights, "tokenizer/config.json", "latents/one.safetensors", "index.json")
    recorder = site.recorder()
    recorder.stage("train_tokenizer", "ran", entry, HERE)
    facts = site.facts(recorder, "train_tokenizer")
    assert list(facts.subjects.items()) == [
        ("artifacts/train_tokenizer/manifest.json", site.manifest("train_tokenizer")),
        (f"artifacts/train_tokenizer/{weights}", hashlib.sha256(weights.encode()).hexdigest()),
    ]
    assert facts.params == {"seed": 7, "threads": 2, "train_tokenizer": {"steps": 3}} and facts.lock == entry
    assert (facts.run_id, facts.outcome, facts.environment) == ("r1", "ran", HERE)


def test_weights_are_never_read_again(site: Site) -> None:
    entry = site.output("worldgen_dmd", "model.safetensors", "config.json")
    (site.workspace / "artifacts" / "worldgen_dmd" / "model.safetensors").unlink()
    recorder = site.recorder()
    recorder.stage("worldgen_dmd", "ran", entry, HERE)
    assert "artifacts/worldgen_dmd/model.safetensors" in site.facts(recorder, "worldgen_dmd").subjects


def test_an_output_depends_on_its_parents_by_manifest_and_on_code_and_environment(site: Site) -> None:
    site.output("prepare", "clips.parquet")
    entry = site.output("validate", "verdict.json")
    entry["deps"] = [{"path": "artifacts/prepare", "md5": "1" * 32 + ".dir"}, {"path": "flows/stage.py", "md5": "2"}]
    recorder = site.recorder()
    recorder.stage("validate", "ran", entry, HERE)
    assert {d.name: d.digest for d in site.facts(recorder, "validate").dependencies} == {
        "code": {"gitCommit": "a" * 40, "gitTree": "b" * 40},
        "artifacts/prepare": {"sha256": site.manifest("prepare"), "dvcMd5": "1" * 32 + ".dir"},
        "environment": {"sha256": fingerprint(HERE)},
    }


def test_prepared_data_depend_on_recorded_sources_and_recalls(site: Site) -> None:
    rows = [
        {"name": "drives", "adapter": "dgp", "digest": "5" * 64},
        {"name": "synthetic", "adapter": "synthetic", "digest": None},
    ]
    (site.workspace / "data" / "sources.json").write_text(json.dumps({"version": 1, "sources": rows}))
    (site.workspace / "data" / "recalls.json").write_text("{}")
    entry = site.output("prepare", "clips.parquet", "sources.json")
    entry["deps"] = [{"path": "data/recalls.json", "md5": "3" * 32}, {"path": "data/sources.json", "md5": "4" * 32}]
    recorder = site.recorder()
    recorder.stage("prepare", "ran", entry, HERE)
    found = {d.name: d.digest for d in site.facts(recorder, "prepare").dependencies}
    assert found["source/drives"] == {"sha256": "5" * 64} and "source/synthetic" not in found
    assert found["data/recalls.json"] == {"sha256": hashlib.sha256(b"{}").hexdigest(), "dvcMd5": "3" * 32}
    assert found["data/sources.json"]["sha256"] == file_sha256(site.workspace / "data" / "sources.json")


def test_what_is_missing_or_altered_is_not_signed(site: Site) -> None:
    recorder = site.recorder()
    with pytest.raises(DataError, match=r"validate/manifest\.json: missing"):
        recorder.stage("validate", "ran", {}, HERE)
    entry = site.output("validate", "verdict.json")
    with pytest.raises(RecordError, match=r"prepare/manifest\.json is gone"):
        recorder.stage("validate", "ran", {**entry, "deps": [{"path": "artifacts/prepare"}]}, HERE)
    (site.workspace / "artifacts" / "validate" / "verdict.json").write_text('{"success": true}')
    with pytest.raises(RecordError, match=r"verdict\.json was altered after validate had finished"):
        recorder.stage("validate", "ran", entry, HERE)
    recorder.close(_folder(site), "", None)
    assert site.records.run("r1").stages == []


def test_a_stage_with_nothing_to_do_is_recorded_as_that(site: Site) -> None:
    entry = site.output("evaluate", "not_applicable.json")
    recorder = site.recorder()
    recorder.stage("evaluate", "ran", entry, HERE)
    assert site.records.get(recorder._files["stages/evaluate/not_applicable.json"]) == b"not_applicable.json"
    assert "stages/evaluate/report.json" not in recorder._files
    assert list(site.facts(recorder, "evaluate").subjects) == ["artifacts/evaluate/manifest.json"]


@pytest.mark.parametrize("outcome", ["cached", "restored"])
def test_what_another_run_made_has_that_ones_environment(site: Site, outcome: str) -> None:
    entry = site.output("validate", "verdict.json")
    site.recorder("r1").stage("validate", "ran", entry, ELSEWHERE)  # and is killed: no run statement
    recorder = site.recorder("r2")
    recorder.stage("validate", outcome, entry, HERE)
    facts = site.facts(recorder, "validate")
    assert facts.environment == ELSEWHERE and facts.outcome == outcome and facts.run_id == "r2"
    assert {d.name: d.digest for d in facts.dependencies}["environment"] == {"sha256": fingerprint(ELSEWHERE)}


def test_an_environment_that_nobody_recorded_is_not_made_up(site: Site) -> None:
    entry = site.output("validate", "verdict.json")
    site.recorder("r1").stage("validate", "ran", {**entry, "cmd": "another"}, ELSEWHERE)
    recorder = site.recorder("r2")
    recorder.stage("validate", "cached", entry, HERE)
    facts = site.facts(recorder, "validate")
    assert facts.environment == {} and "environment" not in {d.name for d in facts.dependencies}


def test_an_environment_by_the_word_of_a_foreign_key_counts_for_nothing(site: Site, tmp_path: Path) -> None:
    entry = site.output("validate", "verdict.json")
    recorder = site.recorder("r1")
    recorder.stage("validate", "ran", entry, ELSEWHERE)
    forged = sign(stage_statement(site.facts(recorder, "validate")), make_key(tmp_path / "foreign.pem"))
    site.records.note_maker(digest(entry), site.records.put(json.dumps(forged).encode()))
    again = site.recorder("r2")
    again.stage("validate", "cached", entry, HERE)
    assert site.facts(again, "validate").environment == {}


def test_events_of_another_output_are_not_this_ones(site: Site) -> None:
    entry = site.output("validate", "verdict.json")
    events = site.workspace / "run" / "validate" / "events.ndjson"
    events.parent.mkdir(parents=True)
    recorder = site.recorder()
    for version, kept in (("0" * 64, False), (site.manifest("validate"), True)):
        outputs = [{"name": "artifacts/validate", "facets": {"version": {"datasetVersion": version}}}]
        events.write_text(json.dumps({"eventType": "COMPLETE", "outputs": outputs}) + "\n")
        recorder.stage("validate", "cached", entry, HERE)
        assert ("stages/validate/events.ndjson" in recorder._files) == kept


def test_times_are_those_of_the_stages_own_process(site: Site) -> None:
    entry = site.output("validate", "verdict.json")
    state = site.workspace / "run" / "validate" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"status": "finished", "seconds": 90.5}')
    os.utime(state, (1_700_000_000, 1_700_000_000))
    recorder = site.recorder()
    recorder.stage("validate", "ran", entry, HERE)
    facts = site.facts(recorder, "validate")
    assert (facts.started_at, facts.finished_at) == ("2023-11-14T22:11:49.500000Z", "2023-11-14T22:13:20.000000Z")
    first = recorder._files["stages/validate/statement.json"]
    recorder.stage("validate", "ran", entry, HERE)
    assert recorder._files["stages/validate/statement.json"] == first, "once more is the same statement"


def test_a_run_names_every_record_and_the_ledger_names_the_run(site: Site) -> None:
    entry = site.output("validate", "verdict.json")
    folder = _folder(site)
    model = {"name": "toy", "version": "3", "sha256": "7" * 64, "parts": {"worldgen": "8" * 64}}
    recorder = site.recorder(status="refused", model=model, actor="trainer")
    recorder.stage("validate", "ran", entry, HERE)
    closed = recorder.close(folder, "flow-1", REFUSAL)
    run = site.records.run("r1")
    assert run.sha256 == closed.statement_sha256
    assert set(run.files) == {
        *("run.json", "packages.json", "decision.json", "params.yaml", "dvc.lock", "data/sources.json"),
        *("environment.json", "stages/validate/statement.json", "stages/validate/manifest.json"),
        "stages/validate/verdict.json",
    }
    assert all(site.records.get(sha256) for sha256 in run.files.values())
    assert run.files["environment.json"] == fingerprint(HERE)
    facts = run.facts
    assert (facts.status, facts.verdict, facts.decision_sha256) == ("refused", "refuse", fingerprint(REFUSAL))
    assert (facts.model, facts.version, facts.model_sha256) == ("toy", "3", "7" * 64) and facts.parts == model["parts"]
    assert (facts.tree, facts.flow_run, facts.ended_at) == ("b" * 40, "flow-1", "2001-09-09T01:47:40.000000Z")
    verify(run.envelope, {site.key.keyid: site.key.public}, "the run")
    (recorded,) = site.ledger.entries(kinds=("run.recorded",))
    assert recorded.actor == facts.actor == "trainer"
    assert recorded.body is not None and recorded.body["statement_sha256"] == run.sha256
    assert recorded.body["keyid"] == site.key.keyid and recorded.body["model_sha256"] == "7" * 64
    assert closed.files == {
        "records/run-statement.json": site.records.run_path("r1").read_bytes(),
        "records/stages/validate.json": site.records.get(run.files["stages/validate/statement.json"]),
    }


def test_closing_again_enters_nothing_twice(site: Site) -> None:
    recorder, folder = site.recorder(), _folder(site)
    recorder.stage("validate", "ran", site.output("validate", "verdict.json"), HERE)
    assert recorder.close(folder, "", None) == recorder.close(folder, "", None)
    assert len(list(site.ledger.entries(kinds=("run.recorded",)))) == 1


def test_a_failed_run_is_recorded_with_the_events_of_the_stage_that_failed(site: Site) -> None:
    for stage, parent in (("validate", "r1"), ("evaluate", "another run")):
        events = site.workspace / "run" / stage / "events.ndjson"
        events.parent.mkdir(parents=True)
        facets = {"parent": {"run": {"runId": parent_run_id(parent)}}}
        events.write_text(json.dumps({"eventType": "FAIL", "run": {"facets": facets}}) + "\nhalf a li")
    site.recorder(status="failed", error="unfit").close(_folder(site), "", None)
    run = site.records.run("r1")
    assert run.facts.status == "failed" and run.facts.verdict is None and run.stages == []
    assert "stages/validate/events.ndjson" in run.files and "stages/evaluate/events.ndjson" not in run.files
    (recorded,) = site.ledger.entries(kinds=("run.recorded",))
    assert recorded.body is not None and recorded.body["status"] == "failed" and recorded.body["verdict"] is None


def test_a_run_that_is_killed_leaves_records_and_no_run(site: Site) -> None:
    site.recorder().stage("validate", "ran", site.output("validate", "verdict.json"), HERE)
    assert site.records.run_ids() == [] and list(site.ledger.entries(kinds=("run.recorded",))) == []


def test_no_record_holds_the_private_key(site: Site) -> None:
    recorder = site.recorder()
    recorder.stage("validate", "ran", site.output("validate", "verdict.json"), HERE)
    closed = recorder.close(_folder(site), "", None)
    pem = (site.root / "keys" / "signing.pem").read_text()
    secret = load_key(site.root / "keys" / "signing.pem")._private.private_bytes_raw()
    forms = [secret, secret.hex().encode(), base64.b64encode(secret), pem.splitlines()[1].encode()]
    kept = [path.read_bytes() for path in site.records.folder.rglob("*") if path.is_file()] + [*closed.files.values()]
    kept += [base64.b64decode(json.loads(content)["payload"]) for content in kept if content.startswith(b'{"payload')]
    kept += [json.dumps(entry.model_dump()).encode() for entry in site.ledger.entries()]
    assert len(kept) > 10 and not [form for form in forms for content in kept if form in content]


def test_in_totos_own_library_takes_the_statements(site: Site) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    entry = site.output("validate", "verdict.json", "model.safetensors", "config.json")
    recorder = site.recorder()
    recorder.stage("validate", "ran", entry, HERE)
    closed = recorder.close(_folder(site), "", None)
    for name, content in closed.files.items():
        payload = unverified(json.loads(content), name)
        Statement.copy_from_pb(json_format.ParseDict(payload, statement_pb2.Statement())).validate()
        if name.startswith("records/stages/"):
            provenance = json_format.ParseDict(payload["predicate"], provenance_pb2.Provenance())
            assert provenance.build_definition.build_type == "urn:worldmodel:dvc-stage:v1"
            assert [d.name for d in provenance.build_definition.resolved_dependencies] == ["code", "environment"]
            assert provenance.run_details.metadata.started_on.seconds > 0


def test_securesystemslib_verifies_the_envelopes_with_the_public_key_alone(site: Site) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    recorder = site.recorder()
    recorder.stage("validate", "ran", site.output("validate", "verdict.json"), HERE)
    closed = recorder.close(_folder(site), "", None)
    pem = (site.root / "keys" / "signing.pem.pub").read_bytes()
    key = SSlibKey.from_crypto(load_pem_public_key(pem), keyid=site.key.keyid)
    for content in closed.files.values():
        assert set(Envelope.from_dict(json.loads(content)).verify([key], threshold=1)) == {site.key.keyid}
        altered = Envelope.from_dict(json.loads(content))
        altered.payload = altered.payload.replace(b"r1", b"r2")
        with pytest.raises(VerificationError):
            altered.verify([key], threshold=1)


def _folder(site: Site) -> Path:
    """The run's own folder and the workspace, with what a run leaves in them."""
    folder = site.root / "runs" / "r1"
    folder.mkdir(parents=True)
    for name in ("run.json", "packages.json", "decision.json"):
        (folder / name).write_text(f"{name} of r1")
    for name in ("params.yaml", "dvc.lock", "data/sources.json"):
        (site.workspace / name).write_text(f"{name} of r1")
    return folder
