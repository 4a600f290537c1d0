"""Whatever is altered after it was recorded is found, and named."""

import base64
import json
import shutil
import zlib
from pathlib import Path

import pytest
import yaml

from evaluation.base import fingerprint
from flows.audit.finding import Finding
from flows.git import git
from flows.ledger.trust import revoke, trust
from flows.lineage.recorder import STATEMENT_PATH, run_recorded
from flows.lineage.records import stage_record
from flows.manifest import write_manifest
from flows.signing.dsse import envelope_bytes, sign
from flows.signing.keys import make_key
from flows.signing.statements import run_statement
from flows.workspace import Snapshot, record
from tests.flows.audit.verify.tampering import (
    codes,
    edited,
    flip,
    record_path,
    restated,
    rewrite,
    verdict_on,
)
from tests.flows.history import History

RUNS = (0, 1, 2)
OTHER_LIMITS = "decision/other-limits"


def found(made: History) -> list[Finding]:
    return verdict_on(made).findings


def test_a_history_that_nobody_touched_gives_no_finding_and_no_note(pristine: History) -> None:
    verdict = verdict_on(pristine)
    assert (verdict.findings, verdict.notes) == ([], [])
    counts = {one.what: one.count for one in verdict.checked}
    assert counts["entries of the ledger"] == len(list(pristine.ledger.entries()))
    assert counts["signed heads"] == 2 * len(RUNS)  # on the run's ref, and on the ledger's own
    assert min(counts.values()) > 0, "a step that checked nothing proves nothing"


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("train_worldrec", "model.safetensors"),
        ("train_tokenizer", "tokenizer/tokenizer.safetensors"),
        ("prepare", "shards/shard-00000.tar"),
        ("evaluate", "report.json"),
    ],
)
def test_a_byte_in_an_output_names_workspace_stage_and_file(history: History, stage: str, file: str) -> None:
    workspace = history.workspace(history.runs[2])
    flip(workspace / "artifacts" / stage / file)
    (only,) = found(history)
    assert (only.what, only.where) == ("disk/changed", f"workspace {workspace.name}: {stage}: {file}")
    assert "expected" in only.sentence and "got" in only.sentence


def test_a_manifest_that_was_made_to_fit_the_changed_weights_is_found_as_well(history: History) -> None:
    out = history.workspace(history.runs[0]) / "artifacts" / "train_worldrec"
    flip(out / "model.safetensors")
    write_manifest(out, "train_worldrec")
    assert [one.where.rpartition(": ")[2] for one in found(history)] == ["manifest.json", "model.safetensors"]


def test_a_file_that_is_gone_and_one_that_came_are_found(history: History) -> None:
    out = history.workspace(history.runs[0]) / "artifacts" / "prepare"
    (out / "sources.json").unlink()
    (out / "shards" / "more.tar").write_bytes(b"")
    assert {(one.what, one.where.rpartition(": ")[2]) for one in found(history)} == {
        ("disk/missing", "sources.json"),
        ("disk/extra", "shards/more.tar"),
    }


def test_an_output_that_is_gone_is_found(history: History) -> None:
    shutil.rmtree(history.workspace(history.runs[0]) / "artifacts" / "worldgen_dmd")
    (only,) = found(history)
    assert only.what == "disk/missing" and "worldgen_dmd" in only.where


def test_params_are_found_changed_in_the_workspace(history: History) -> None:
    flip(history.workspace(history.runs[1]) / "params.yaml", at=0)
    (only,) = found(history)
    assert only.what == "disk/changed" and only.where.endswith(": params.yaml")


def test_params_are_found_changed_in_the_record(history: History) -> None:
    flip(record_path(history, 1, "params.yaml"), at=0)
    (only,) = found(history)
    assert (only.what, only.where) == ("record/altered", f"run {history.runs[1].run_id}: params.yaml")


def test_params_are_found_changed_in_git(history: History) -> None:
    run = history.runs[1]
    text = git(history.root, "show", f"{run.commit}:params.yaml")
    _recommit(history, 1, {"params.yaml": text.replace("seed: 7", "seed: 8").encode()})
    assert ("git/changed", f"refs/worldmodel/runs/{run.run_id}: params.yaml") in {
        (one.what, one.where) for one in found(history)
    }


def _recommit(made: History, nth: int, changes: dict[str, bytes]) -> None:
    """Moves a run's ref to a commit with other files on top of the same snapshot."""
    run = made.runs[nth]
    names = git(made.root, "diff", "--name-only", run.snapshot, run.commit).split()
    files = {name: f"{git(made.root, 'show', f'{run.commit}:{name}')}\n".encode() for name in names}
    tree = git(made.root, "rev-parse", f"{run.snapshot}^{{tree}}")
    record(made.root, run.run_id, Snapshot(run.snapshot, tree, run.dirty), files | changes)


def test_a_ref_that_is_gone_and_one_on_another_snapshot_are_found(history: History) -> None:
    first, second, third = history.runs
    git(history.root, "update-ref", "-d", f"refs/worldmodel/runs/{first.run_id}")
    git(history.root, "update-ref", f"refs/worldmodel/runs/{second.run_id}", third.commit)
    named = {(one.what, one.where) for one in found(history)}
    assert ("git/no-ref", f"refs/worldmodel/runs/{first.run_id}") in named
    assert ("git/other-snapshot", f"refs/worldmodel/runs/{second.run_id}") in named


def test_a_git_object_with_other_bytes_than_its_id_is_found(history: History) -> None:
    oid = git(history.root, "rev-parse", f"{history.runs[0].snapshot}:dvc.yaml")
    path = history.root / ".git" / "objects" / oid[:2] / oid[2:]
    content = zlib.decompress(path.read_bytes()).replace(b"train_worldrec", b"train_worldREC")
    path.chmod(0o644)
    path.write_bytes(zlib.compress(content))
    assert {(one.what, one.where) for one in found(history)} >= {("git/altered", f"git object {oid[:16]}")}


def test_a_cache_object_with_another_content_than_its_name_is_found(history: History) -> None:
    path = next(iter(sorted((history.state / "cache" / "files" / "md5").glob("*/*[0-9a-f]"))))
    flip(path)
    (only,) = found(history)
    assert (only.what, only.where) == ("cache/altered", f"cache object {path.parent.name}{path.name}")


def test_quick_leaves_out_the_bytes_on_disk_and_nothing_else(history: History) -> None:
    flip(history.workspace(history.runs[0]) / "artifacts" / "train_worldrec" / "model.safetensors")
    flip(record_path(history, 0, "stages/evaluate/report.json"))
    assert codes(verdict_on(history, quick=True).findings) == {"record/altered"}


@pytest.mark.parametrize("name", ["decision.json", "gate-inputs.json", "stages/evaluate/report.json", "dvc.lock"])
def test_a_byte_in_a_record_names_run_and_record(history: History, name: str) -> None:
    flip(record_path(history, 2, name))
    assert ("record/altered", f"run {history.runs[2].run_id}: {name}") in {(f.what, f.where) for f in found(history)}


def test_a_record_put_in_place_of_another_is_found(history: History) -> None:
    shutil.copyfile(record_path(history, 0, "decision.json"), record_path(history, 1, "decision.json"))
    (only,) = [one for one in found(history) if one.what == "record/altered"]
    assert only.where == f"run {history.runs[1].run_id}: decision.json"


def test_a_record_that_is_gone_is_found(history: History) -> None:
    record_path(history, 1, "stages/validate/verdict.json").unlink()
    assert "record/missing" in codes(found(history))


def test_a_run_statement_that_is_gone_is_found(history: History) -> None:
    history.records.run_path(history.runs[1].run_id).unlink()
    (only,) = [one for one in found(history) if one.what.startswith("run/")]
    assert (only.what, only.where) == ("run/no-statement", f"run {history.runs[1].run_id}")


def test_a_run_statement_that_the_ledger_does_not_name_is_found(history: History) -> None:
    path = history.records.run_path(history.runs[1].run_id)
    shutil.copyfile(path, path.with_name("20300101-000000-abcdefab.json"))
    assert [(f.what, f.where) for f in found(history)] == [("run/unrecorded", "run 20300101-000000-abcdefab")]


def test_an_older_statement_of_the_same_run_is_found_though_its_signature_is_good(history: History) -> None:
    path = history.records.run_path(history.runs[1].run_id)
    older = path.read_bytes()
    restated(history, 1, {}, status="failed")
    path.write_bytes(older)
    (only,) = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("run/")]
    assert (only.what, only.where) == ("run/replaced", f"run {history.runs[1].run_id}")


def test_a_forged_signature_is_found(history: History) -> None:
    path = history.records.run_path(history.runs[0].run_id)
    envelope = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["verdict"] = "refuse"
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_bytes(envelope_bytes(envelope))
    assert ("signature/forged", f"run {history.runs[0].run_id}") in {(f.what, f.where) for f in found(history)}


def test_a_forger_who_makes_the_ledger_fit_is_still_found(history: History) -> None:
    statement = history.records.run(history.runs[0].run_id)
    envelope = json.loads(json.dumps(statement.envelope))
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    sha256 = history.records.add_run(statement.run_id, envelope)
    rewrite(history, edited("run.recorded", 0, statement_sha256=sha256), chained=True)
    assert codes(found(history)) >= {"signature/forged", "ledger/fork"}


def test_the_signature_of_an_unknown_key_is_found(history: History, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger.pem")
    restated(history, 0, {}, key=stranger)
    (only,) = [one for one in found(history) if one.what.startswith("signature/")]
    assert (only.what, only.where) == ("signature/unknown-key", f"run {history.runs[0].run_id}")
    assert stranger.keyid[:16] in only.sentence


def test_the_signature_of_a_key_that_was_revoked_by_then_is_found(history: History, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.pem")
    trust(history.ledger, history.key, other.public, "a colleague", ("runner",), "admin")
    restated(history, 0, {}, key=other)
    assert "signature/not-trusted" not in codes(verdict_on(history, quick=True).findings)
    revoke(history.ledger, history.key, other.keyid, "lost", "admin")
    restated(history, 1, {}, key=other)
    late = [one for one in verdict_on(history, quick=True).findings if one.what == "signature/not-trusted"]
    assert [one.where for one in late] == [f"run {history.runs[1].run_id}"]


def test_a_run_that_another_runner_closes_again_is_found(history: History, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.pem")
    trust(history.ledger, history.key, other.public, "a colleague", ("runner",), "admin")
    restated(history, 0, {}, key=other)
    (only,) = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("run/")]
    assert (only.what, only.where) == ("run/other-key", f"run {history.runs[0].run_id}")
    assert history.key.keyid[:16] in only.sentence and other.keyid[:16] in only.sentence


def test_run_statements_with_each_others_names_are_found(history: History) -> None:
    one, other = (history.records.run_path(history.runs[n].run_id) for n in (0, 1))
    content = one.read_bytes(), other.read_bytes()
    one.write_bytes(content[1])
    other.write_bytes(content[0])
    named = {(f.what, f.where) for f in verdict_on(history, quick=True).findings}
    assert named == {("run/replaced", f"run {history.runs[n].run_id}") for n in (0, 1)}


def test_a_stage_statement_of_another_run_is_found(history: History) -> None:
    name = stage_record("prepare", "statement.json")
    restated(history, 0, {name: record_path(history, 1, name).read_bytes()})
    assert "stage/swapped" in codes(verdict_on(history, quick=True).findings)


def test_a_record_that_a_run_names_twice_is_found(history: History) -> None:
    """Two readers of such a statement could take two different files."""
    statement = history.records.run(history.runs[0].run_id)
    value = run_statement(statement.facts, statement.files)
    value["subject"].append(value["subject"][0])
    sha256 = history.records.add_run(statement.run_id, sign(value, history.key))
    history.ledger.append(run_recorded(statement.facts, sha256, history.key.keyid), "trainer")
    (only,) = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("run/")]
    assert only.what == "run/unreadable" and "two subjects have one name" in only.sentence


def test_limits_of_the_gate_that_are_not_those_of_the_params_are_found(history: History) -> None:
    params = yaml.safe_load(record_path(history, 1, "params.yaml").read_text())
    limits = json.loads(record_path(history, 1, "gate-inputs.json").read_text())["limits"]
    for gate, expected in ((limits, set()), (limits | {"allow_dirty": not limits["allow_dirty"]}, {OTHER_LIMITS})):
        restated(history, 1, {"params.yaml": yaml.safe_dump(params | {"gate": gate}).encode()})
        found = codes(verdict_on(history, quick=True).findings)
        assert {code for code in found if code.startswith("decision/")} == expected


def test_a_swapped_parent_is_found_though_a_trusted_key_signed_it(history: History) -> None:
    run, stage = history.runs[0], "worldgen_dmd"
    statement = history.records.run(run.run_id)
    payload = json.loads(base64.b64decode(history.records.envelope(statement, stage)["payload"]))
    for dependency in payload["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if dependency["name"] == "artifacts/worldgen_bidirectional":
            dependency["digest"]["sha256"] = "f" * 64
    forged = envelope_bytes(sign(payload, history.key))
    restated(history, 0, {stage_record(stage, "statement.json"): forged})
    (only,) = [one for one in found(history) if one.what.startswith("stage/")]
    assert (only.what, only.where) == ("stage/swapped-parent", f"run {run.run_id}: {stage}")
    assert "artifacts/worldgen_bidirectional" in only.sentence and "f" * 16 in only.sentence


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda p: p["subject"][0]["digest"].update(sha256="e" * 64), "stage/output"),
        (lambda p: p["subject"][1]["digest"].update(sha256="e" * 64), "stage/weights"),
        (lambda p: p["subject"].pop(), "stage/weights"),
        (lambda p: _definition(p)["externalParameters"]["params"].update(seed=8), "stage/params"),
        (lambda p: _definition(p)["internalParameters"]["lock"].update(cmd="another"), "stage/lock"),
        (lambda p: _definition(p)["internalParameters"]["environment"].update(torch="1.0"), "stage/environment"),
        (lambda p: _code(p).update(gitTree="d" * 40), "stage/code"),
        (lambda p: _code(p).update(gitCommit="d" * 40), "stage/code"),
        (lambda p: _drop(p, "artifacts/prepare"), "stage/swapped-parent"),
        (lambda p: _definition(p)["externalParameters"].update(stage="prepare"), "stage/swapped"),
        (lambda p: p["predicate"]["runDetails"]["metadata"].update(invocationId="another"), "stage/swapped"),
    ],
)
def test_every_claim_of_a_stage_statement_is_held_against_the_run(history: History, change, code: str) -> None:
    stage = "train_worldrec"
    statement = history.records.run(history.runs[0].run_id)
    payload = json.loads(base64.b64decode(history.records.envelope(statement, stage)["payload"]))
    change(payload)
    restated(history, 0, {stage_record(stage, "statement.json"): envelope_bytes(sign(payload, history.key))})
    stages = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("stage/")]
    assert {(one.what, one.where) for one in stages} == {(code, f"run {history.runs[0].run_id}: {stage}")}


def test_a_source_with_another_digest_than_the_run_was_given_is_found(history: History) -> None:
    sources = json.loads(record_path(history, 0, "data/sources.json").read_text())
    sources["sources"][0]["digest"] = "6" * 64
    restated(history, 0, {"data/sources.json": json.dumps(sources).encode()})
    stages = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("stage/")]
    assert {(one.what, one.where.rpartition(": ")[2]) for one in stages} == {("stage/input", "prepare")}
    assert [one.sentence.split(",")[0] for one in stages] == ["data/sources.json", "source/drives"]


def test_a_copy_of_a_file_that_the_manifest_does_not_name_is_found(history: History) -> None:
    restated(history, 0, {stage_record("train_worldrec", "not_applicable.json"): b"{}"})
    (only,) = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("stage/")]
    assert only.what == "stage/copy" and "not_applicable.json" in only.sentence


def _definition(payload):
    return payload["predicate"]["buildDefinition"]


def _code(payload):
    return next(d["digest"] for d in _definition(payload)["resolvedDependencies"] if d["name"] == "code")


def _drop(payload, name: str) -> None:
    dependencies = _definition(payload)["resolvedDependencies"]
    dependencies[:] = [dependency for dependency in dependencies if dependency["name"] != name]


def test_a_statement_in_git_that_is_not_the_runs_is_found(history: History) -> None:
    _recommit(history, 0, {STATEMENT_PATH: history.records.run_path(history.runs[1].run_id).read_bytes()})
    ref = f"refs/worldmodel/runs/{history.runs[0].run_id}"
    assert ("git/changed", f"{ref}: {STATEMENT_PATH}") in {(f.what, f.where) for f in found(history)}


def test_a_model_that_its_parts_do_not_make_up_is_found(history: History) -> None:
    restated(history, 0, {}, model_sha256="c" * 64, parts={})
    assert "model/changed" in codes(verdict_on(history, quick=True).findings)


def test_a_decision_that_the_gate_would_not_make_is_found(history: History) -> None:
    refused = json.loads(record_path(history, 1, "decision.json").read_text())
    rules = [rule | {"verdict": "pass"} for rule in refused["rules"]]
    lie = refused | {"verdict": "promote", "summary": "promoted: all rules pass", "rules": rules}
    content = json.dumps(lie).encode()
    restated(history, 1, {"decision.json": content}, verdict="promote", decision_sha256=fingerprint(lie))
    (only,) = [one for one in verdict_on(history, quick=True).findings if one.what.startswith("decision/")]
    assert (only.what, only.where) == ("decision/not-reproduced", f"run {history.runs[1].run_id}: gate-inputs.json")


def test_a_report_that_was_not_decided_on_is_found(history: History) -> None:
    other = record_path(history, 2, "stages/evaluate/report.json").read_bytes()
    restated(history, 0, {"stages/evaluate/report.json": other})
    assert codes(verdict_on(history, quick=True).findings) >= {"report/changed", "stage/copy"}


def test_a_decision_of_another_version_is_a_note(history: History) -> None:
    decision = json.loads(record_path(history, 1, "decision.json").read_text())
    older = decision | {"schema_version": "worldmodel.decision/2"}
    content = json.dumps(older).encode()
    restated(history, 1, {"decision.json": content}, decision_sha256=fingerprint(older))
    verdict = verdict_on(history, quick=True)
    assert not [one for one in verdict.findings if one.what.startswith("decision/")]
    assert any("decided by another version" in note.sentence for note in verdict.notes)
