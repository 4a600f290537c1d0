"""What is made again, from what, and what it is held against: the signed records of the run that made a model."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from flows.audit.books import Books, ModelRef
from flows.bundle import PARTS
from flows.git import git
from flows.ledger.bodies import RunRecorded
from flows.ledger.keys import KEY_KINDS, trusted_keys
from flows.ledger.reading import bodies
from flows.ledger.standing import registered
from flows.lineage.records import MANIFEST, STATEMENT, RunStatement, stage_record
from flows.manifest import MANIFEST_FILE, digest
from flows.params import PARAMS_FILE
from flows.signing.dsse import verify
from flows.signing.keys import PublicKey
from flows.signing.statements import StageFacts, read_stage_statement
from flows.workspace import Snapshot
from worldmodel.errors import ParamsError, RecordError, WorkspaceError

REPORT_STAGE = "evaluate"
_RAN = "ran"


@dataclass(frozen=True)
class Made:
    """What the signed records say of a stage: of this run, and of the run that made the output, where that is known."""

    facts: StageFacts
    manifest: dict[str, Any]
    maker: StageFacts | None

    @property
    def seconds(self) -> float | None:
        """How long the stage took when it was made."""
        if self.maker is None:
            return None
        started, finished = (datetime.fromisoformat(t) for t in (self.maker.started_at, self.maker.finished_at))
        return (finished - started).total_seconds()


@dataclass(frozen=True)
class Plan:
    """What is made again, from what: `stages` in the order they run in, `measuring` those that would measure it."""

    model: ModelRef
    run: RunStatement
    snapshot: Snapshot
    threads: int
    stages: list[str]
    measuring: list[str]
    whole: bool
    made: dict[str, Made] = field(repr=False)


def plan_rebuild(books: Books, checkout: Path, model: ModelRef, until: str | None = None) -> Plan:
    """What making a model again comes to, every signature verified.

    Args:
        books: of the state directory.
        checkout: with the git objects of the model's run.
        model: which.
        until: the last stage; None: all that the model's parts come from.

    Raises:
        RecordError, SigningError: a record is gone, altered, or signed by no trusted key.
        ParamsError: `until` is none of the stages.
        WorkspaceError: the recorded commit is not in the checkout.
    """
    run = _run_of(books, model)
    keys = {keyid: key.public for keyid, key in trusted_keys(books.entries(*KEY_KINDS)).items()}
    verify(run.envelope, keys, f"the statement of run {run.run_id}")
    snapshot = _snapshot(checkout, run)
    pipeline = yaml.safe_load(git(checkout, "show", f"{snapshot.commit}:dvc.yaml"))["stages"]
    params = yaml.safe_load(git(checkout, "show", f"{snapshot.commit}:{PARAMS_FILE}"))
    every = stages_behind(pipeline, _part_stages(run))
    if until is not None and until not in every:
        what = f"--until {until}: no stage that {model} comes from"
        raise ParamsError(what, expected=" or ".join(every), got=until)
    stages = every if until is None else every[: every.index(until) + 1]
    reporting = stages_behind(pipeline, [REPORT_STAGE]) if REPORT_STAGE in pipeline else []
    made = {stage: _made(books, run, stage, keys) for stage in stages}
    measuring = [stage for stage in reporting if stage not in every]
    return Plan(model, run, snapshot, int(params["threads"]), stages, measuring, stages == every, made)


def _run_of(books: Books, model: ModelRef) -> RunStatement:
    """The run that registered the model, as the ledger vouches for it."""
    body = registered(books.entries("model.registered")).get((model.name, model.version))
    if body is None:
        raise RecordError(f"{model} is not registered", fix="worldmodel audit champion --history")
    run = books.records.run(body.run_id)
    known = {
        b.statement_sha256 for _, b in bodies(books.entries("run.recorded"), RunRecorded) if b.run_id == run.run_id
    }
    if run.sha256 not in known:
        expected = f"sha256 {' or '.join(sorted(known)) or 'in an entry run.recorded'}"
        raise RecordError(
            f"the statement of run {run.run_id} is not the one in the ledger", expected=expected, got=run.sha256
        )
    if run.facts.model_sha256 != model.model_sha256:
        what = f"run {run.run_id} did not come to {model}"
        raise RecordError(what, expected=model.model_sha256, got=str(run.facts.model_sha256))
    return run


def _snapshot(checkout: Path, run: RunStatement) -> Snapshot:
    """The recorded commit, if the checkout has it and it is of the recorded tree."""
    facts = run.facts
    try:
        tree = git(checkout, "rev-parse", f"{facts.snapshot}^{{tree}}")
    except WorkspaceError:
        fix = "fetch it from where the run was made: git fetch ORIGIN 'refs/worldmodel/*:refs/worldmodel/*'"
        what = f"the code of run {run.run_id} is not in this checkout"
        raise WorkspaceError(what, expected=f"commit {facts.snapshot}", got=str(checkout), fix=fix) from None
    if tree != facts.tree:
        raise RecordError(f"commit {facts.snapshot} is of another tree", expected=facts.tree, got=tree)
    return Snapshot(facts.snapshot, tree, facts.dirty)


def _part_stages(run: RunStatement) -> list[str]:
    stage_of = {part.name: part.stage for part in PARTS}
    unknown = sorted(set(run.facts.parts) - set(stage_of))
    if unknown or not run.facts.parts:
        what = f"run {run.run_id}: parts of a model that this version does not know"
        raise RecordError(what, expected=", ".join(stage_of), got=", ".join(unknown) or "none")
    return [stage_of[name] for name in run.facts.parts]


def stages_behind(pipeline: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    """The stages of a `dvc.yaml` that `wanted` are made by, themselves included, in the order of the file."""
    maker = {out: name for name, stage in pipeline.items() for out in stage.get("outs", [])}
    found, todo = set[str](), list(wanted)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [maker[dep] for dep in pipeline[name].get("deps", []) if dep in maker]
    return [name for name in pipeline if name in found]


def _made(books: Books, run: RunStatement, stage: str, keys: Mapping[str, PublicKey]) -> Made:
    """A stage's record, its signature verified."""
    where = f"the statement of {stage} in run {run.run_id}"
    facts = read_stage_statement(verify(books.records.envelope(run, stage), keys, where).payload, where)
    manifest = books.records.json(run, stage_record(stage, MANIFEST))
    path = f"artifacts/{stage}/{MANIFEST_FILE}"
    if manifest is None or run.files[stage_record(stage, MANIFEST)] != facts.subjects.get(path):
        raise RecordError(f"the manifest of {stage} in run {run.run_id} is not the signed one")
    maker: StageFacts | None = facts
    if facts.outcome != _RAN:
        sha256 = books.records.maker(digest(facts.lock))
        maker = None if sha256 is None else _statement(books, sha256, keys)
    return Made(facts, manifest, maker)


def _statement(books: Books, sha256: str, keys: Mapping[str, PublicKey]) -> StageFacts:
    envelope = json.loads(books.records.get(sha256, STATEMENT))
    return read_stage_statement(verify(envelope, keys, sha256).payload, sha256)
