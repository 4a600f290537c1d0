"""Statements are in-toto's, and say again what went into them."""

import json

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message

from evaluation.base import Record
from flows.signing.statements import (
    APPROVAL,
    HEAD,
    RUN,
    TRUST,
    ApprovalFacts,
    Dependency,
    HeadFacts,
    RunFacts,
    StageFacts,
    TrustFacts,
    fact_statement,
    predicate_of,
    read_facts,
    read_stage_statement,
    run_statement,
    stage_statement,
    subject_digests,
)
from worldmodel.errors import RecordError

SHA = "a" * 64
STAGE = StageFacts(
    run_id="20260131-120000-abcdef",
    stage="prepare",
    outcome="ran",
    subjects={"artifacts/prepare/manifest.json": SHA, "artifacts/prepare/x.safetensors": "b" * 64},
    params={"seed": 7, "prepare": {"fps": 2.5}},
    lock={"cmd": "python", "outs": [{"path": "x"}]},
    environment={"python": "3.11"},
    dependencies=(Dependency(name="code", uri="git+ref", digest={"gitTree": "c" * 40}),),
    started_at="2026-01-31T12:00:00Z",
    finished_at="2026-01-31T12:01:00Z",
)
RUN_FACTS = RunFacts(
    run_id="r",
    actor="ann",
    profile="tiny",
    status="promoted",
    snapshot="d" * 40,
    tree="e" * 40,
    dirty=False,
    started_at="2026-01-31T12:00:00Z",
    ended_at="2026-01-31T12:05:00Z",
)
FACTS: dict[str, Record] = {
    RUN: RUN_FACTS,
    HEAD: HeadFacts(ledger="id", sequence=3, hash=SHA, time="2026-01-31T12:00:00.000000Z"),
    APPROVAL: ApprovalFacts(model="toy", model_sha256=SHA, approver="ann", verdict="reject", reason="ä", time="t"),
    TRUST: TrustFacts(keyid=SHA, public_key="PEM", owner="ann", roles=("admin", "approver")),
}


def through_json(value: dict[str, object]) -> dict[str, object]:
    return dict(json.loads(json.dumps(value)))


def test_a_stages_statement_says_again_what_went_into_it() -> None:
    assert read_stage_statement(through_json(stage_statement(STAGE)), "here") == STAGE
    assert list(subject_digests(stage_statement(STAGE))) == list(STAGE.subjects.items())


@pytest.mark.parametrize("kind", FACTS)
def test_our_own_predicates_say_again_what_went_into_them(kind: str) -> None:
    facts = FACTS[kind]
    value = through_json(fact_statement(facts, kind, {"subject": SHA}))
    assert read_facts(value, type(facts), kind, "here") == facts
    for other in set(FACTS) - {kind}:
        with pytest.raises(RecordError, match="here: another kind of statement"):
            read_facts(value, type(FACTS[other]), other, "here")


@pytest.mark.parametrize("kind", [*FACTS, "stage", "run with files"])
def test_others_take_every_statement_for_a_valid_one(kind: str) -> None:
    value = {"stage": stage_statement(STAGE), "run with files": run_statement(RUN_FACTS, {"dvc.lock": SHA})}.get(kind)
    value = value or fact_statement(FACTS[kind], kind, {"subject": SHA})
    parsed = Statement.copy_from_pb(json_format.ParseDict(through_json(value), Message()))
    parsed.validate()
    assert [dict(s.digest)["sha256"] for s in parsed.pb.subject] == [sha for _, sha in subject_digests(value)]


def test_a_newer_version_is_told_from_another_kind() -> None:
    value = fact_statement(FACTS[HEAD], HEAD.replace(":v1", ":v2"), {"subject": SHA})
    with pytest.raises(RecordError, match="here: written by a newer version"):
        read_facts(value, HeadFacts, HEAD, "here")
    with pytest.raises(RecordError, match="here: another kind"):
        predicate_of({**value, "predicateType": "https://example.com/other:v1"}, HEAD, "here")
    with pytest.raises(RecordError, match="here: another kind"):
        predicate_of({**value, "_type": "https://in-toto.io/Statement/v0.1", "predicateType": HEAD}, "x", "here")


def test_missing_and_unknown_fields_are_named() -> None:
    value = fact_statement(FACTS[HEAD], HEAD, {"subject": SHA})
    predicate = value["predicate"]
    with pytest.raises(RecordError, match=r"here: a field is missing or unknown(.|\n)*sequence: Field required"):
        read_facts(
            {**value, "predicate": {k: v for k, v in predicate.items() if k != "sequence"}}, HeadFacts, HEAD, "here"
        )
    with pytest.raises(RecordError, match="colour: Extra inputs"):
        read_facts({**value, "predicate": {**predicate, "colour": "red"}}, HeadFacts, HEAD, "here")
    stage = stage_statement(STAGE)
    del stage["predicate"]["runDetails"]["metadata"]["startedOn"]
    with pytest.raises(RecordError, match=r"here: not the provenance of a stage(.|\n)*startedOn"):
        read_stage_statement(stage, "here")
