"""What the flow signs: in-toto statements. Pure functions from facts to JSON, and back.

A stage's output gets SLSA provenance (v1): subjects are its manifest, which names the sha256 of every file in it, and
its weights; `resolvedDependencies` are the snapshot of the code, the manifests of the outputs it read, the sources and
the environment. A run, a head of the ledger, an approval and a trusted key get predicates of our own, as URNs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from evaluation.base import Record
from worldmodel.errors import RecordError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SLSA = "https://slsa.dev/provenance/v1"
RUN, HEAD, APPROVAL, TRUST = (f"urn:worldmodel:{name}:v1" for name in ("run", "ledger-head", "approval", "key-trust"))
BUILD_TYPE, BUILDER = "urn:worldmodel:dvc-stage:v1", "urn:worldmodel:flow:lifecycle:v1"
CODE, ENVIRONMENT_DEP = "code", "environment"

Digests = Mapping[str, str]
Role = Literal["admin", "runner", "approver"]
Facts = TypeVar("Facts", bound=Record)


class Dependency(Record):
    """Something a stage read. `name` is `code`, `environment`, `artifacts/<stage>`, `source/<name>` or a file's path.

    `digest` is by algorithm: `sha256` of a manifest or file, `gitCommit` and `gitTree` of code.
    """

    name: str
    uri: str = ""
    digest: dict[str, str]


class StageFacts(Record):
    """One stage's output and what it was made from. Times are ISO 8601 in UTC.

    Attributes:
        outcome: ran, cached or restored: what this run had to do for it.
        subjects: sha256 by path below the workspace, the manifest first.
        params: `seed`, `threads` and the stage's section of params.yaml.
        lock: the stage's entry in dvc.lock.
        environment: flat facts of interpreter, packages, image and hardware (their digest is a dependency).
    """

    run_id: str
    stage: str
    outcome: str
    subjects: dict[str, str]
    params: dict[str, Any]
    lock: dict[str, Any]
    environment: dict[str, str]
    dependencies: tuple[Dependency, ...]
    started_at: str
    finished_at: str


class RunFacts(Record):
    """One run as a whole. Times are ISO 8601 in UTC."""

    run_id: str
    actor: str
    profile: str
    status: str
    snapshot: str
    tree: str
    dirty: bool
    started_at: str
    ended_at: str
    flow_run: str = ""
    model: str | None = None
    version: str | None = None
    model_sha256: str | None = None
    parts: dict[str, str] = Field(default_factory=dict)
    verdict: str | None = None
    decision_sha256: str | None = None


class HeadFacts(Record):
    """Where a ledger ended: the sequence number and hash of its last entry."""

    ledger: str
    sequence: int
    hash: str
    time: str


class ApprovalFacts(Record):
    """What somebody decided about a model, and why."""

    model: str
    model_sha256: str
    approver: str
    verdict: Literal["approve", "reject"]
    reason: str
    time: str


class TrustFacts(Record):
    """A public key, whose it is, and what its signatures may stand for."""

    keyid: str
    public_key: str
    owner: str
    roles: tuple[Role, ...]


def stage_statement(facts: StageFacts) -> dict[str, Any]:
    """SLSA provenance of a stage's output."""
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"stage": facts.stage, "params": facts.params},
        "internalParameters": {"outcome": facts.outcome, "lock": facts.lock, "environment": facts.environment},
        "resolvedDependencies": [d.model_dump(exclude_defaults=True) for d in facts.dependencies],
    }
    details = {
        "builder": {"id": BUILDER},
        "metadata": {
            "invocationId": facts.run_id,
            "startedOn": facts.started_at,
            "finishedOn": facts.finished_at,
        },
    }
    return statement(facts.subjects, SLSA, {"buildDefinition": definition, "runDetails": details})


def read_stage_statement(value: Mapping[str, Any], where: str) -> StageFacts:
    """The facts in a stage's statement; `where` names it in errors.

    Raises:
        RecordError: it is another kind of statement, or a field is missing.
    """
    predicate = predicate_of(value, SLSA, where)
    try:
        definition, details = predicate["buildDefinition"], predicate["runDetails"]
        external, internal = definition["externalParameters"], definition["internalParameters"]
        return StageFacts(
            run_id=details["metadata"]["invocationId"],
            stage=external["stage"],
            outcome=internal["outcome"],
            subjects=subjects_of(value),
            params=external["params"],
            lock=internal["lock"],
            environment=internal["environment"],
            dependencies=tuple(Dependency.model_validate(d) for d in definition["resolvedDependencies"]),
            started_at=details["metadata"]["startedOn"],
            finished_at=details["metadata"]["finishedOn"],
        )
    except (KeyError, TypeError, ValueError) as error:  # pydantic's are ValueErrors
        raise RecordError(f"{where}: not the provenance of a stage", got=str(error)[:300]) from None


def run_statement(facts: RunFacts, files: Digests) -> dict[str, Any]:
    """A run's statement: its records by name and sha256, and what it came to."""
    return statement(files, RUN, facts.model_dump(mode="json"))


def fact_statement(facts: Record, predicate_type: str, subject: Digests) -> dict[str, Any]:
    """The statement of a head, an approval or a trusted key about `subject` (sha256 by name)."""
    return statement(subject, predicate_type, facts.model_dump(mode="json"))


def read_facts(value: Mapping[str, Any], kind: type[Facts], predicate_type: str, where: str) -> Facts:
    """The facts in a statement with a predicate of ours; `where` names it in errors.

    Raises:
        RecordError: it is another kind of statement, or of a newer schema.
    """
    try:
        return kind.model_validate(predicate_of(value, predicate_type, where))
    except ValidationError as error:
        raise RecordError(
            f"{where}: a field is missing or unknown",
            expected=", ".join(kind.model_fields),
            got="; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())[:300],
            fix="if it was written by a newer version, read it with that",
        ) from None


def statement(subjects: Digests, predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    """An in-toto statement (v1) about subjects: sha256 by name."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects.items()],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def predicate_of(value: Mapping[str, Any], predicate_type: str, where: str) -> Mapping[str, Any]:
    """The predicate of a statement.

    Raises:
        RecordError: it is no statement, or of another type; a newer version is named as such.
    """
    found, kind = str(value.get("predicateType")), str(value.get("_type"))
    if kind == STATEMENT_TYPE and found == predicate_type and isinstance(value.get("predicate"), dict):
        return dict(value["predicate"])
    newer = found.rpartition(":v")[0] == predicate_type.rpartition(":v")[0] != ""
    raise RecordError(
        f"{where}: {'written by a newer version' if newer else 'another kind of statement'}",
        expected=f"{STATEMENT_TYPE} with {predicate_type}",
        got=f"{kind} with {found}",
        fix="read it with the version that wrote it" if newer else "",
    )


def subjects_of(value: Mapping[str, Any]) -> dict[str, str]:
    """sha256 by name of a statement's subjects.

    Raises:
        ValueError: two have one name, so readers could take either.
        KeyError, TypeError: they are no list of names and digests.
    """
    found = {subject["name"]: subject["digest"]["sha256"] for subject in value["subject"]}
    if len(found) != len(value["subject"]):
        raise ValueError("two subjects have one name")
    return found


def subject_digests(value: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Name and sha256 of every subject of a statement."""
    return [(str(s["name"]), str(s["digest"]["sha256"])) for s in value["subject"]]
