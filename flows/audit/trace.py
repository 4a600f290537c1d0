"""Question 2: what a model was made from: data, code, params, teachers, surroundings, and who let it through.

The chain is read from the stages' statements, the clips from the recorded clips.parquet.
"""

from collections.abc import Iterable
from typing import Any

from evaluation.base import Record
from flows.audit.books import Books, ModelRef
from flows.audit.clips import SplitCount, clips_of
from flows.audit.making import PREPARE, Made, maker_of, runs_with, stages_of, statement_of, upstream
from flows.audit.models import Approval, DecisionFacts, Flag, approvals_of, decision_of, flags_of, model_of
from flows.ledger.bodies import PromotionCompleted, PromotionIntended
from flows.ledger.entry import Entry
from flows.ledger.standing import bodies, registered
from flows.lineage.records import RunStatement
from flows.signing.statements import CODE, ENVIRONMENT_DEP


class Source(Record):
    """A source of the data; a generated one has no digest: code and params determine it."""

    name: str
    digest: str | None


class Prepared(Record):
    """A prepared output that the model goes back to. `logs` are their ids by split; null where nobody asked."""

    output: str
    run_id: str
    sources: tuple[Source, ...]
    counts: tuple[SplitCount, ...]
    held_out_by_frames: dict[str, int]
    logs: dict[str, tuple[str, ...]] | None


class StageTrace(Record):
    """One output on the way to the model.

    Attributes:
        run_id: the run whose statement this is; `made_by`: the run that made it, null where none is recorded.
        inputs: digests of the outputs that it read, by stage.
        weights: digests of the weights in it, by path; `pretrained`: of those that it was told to take.
        params: the stage's section; `seed` and `threads` beside it.
        environment: digest of its surroundings, null where they are not known.
    """

    stage: str
    output: str
    run_id: str
    outcome: str
    made_by: str | None
    seed: int | None
    threads: int | None
    params: dict[str, Any]
    inputs: dict[str, str]
    weights: dict[str, str]
    pretrained: str | None
    commit: str
    tree: str
    environment: str | None
    started_at: str
    finished_at: str


class Teacher(Record):
    """A link of a part's chain: weights that were learned on the way to it. The last link is the part itself."""

    stage: str
    output: str
    weights: tuple[str, ...]
    made_by: str | None


class Surroundings(Record):
    """What stages ran in: interpreter, packages, image, hardware, driver, as flat facts; and which stages did."""

    sha256: str
    facts: dict[str, str]
    stages: tuple[str, ...]


class RunTrace(Record):
    """A run that made something of the model, or recorded it; in the order in which they ended."""

    run_id: str
    actor: str
    profile: str
    status: str
    snapshot: str
    tree: str
    dirty: bool
    started_at: str
    ended_at: str
    flow_run: str


class PassedBy(Record):
    """An intent to make the model champion, and whether it came to pass: who let it through, and why."""

    sequence: int
    time: str
    actor: str
    cause: str
    reason: str
    run_id: str | None
    completed_at: str | None


class Network(Record):
    """A network that came from outside the run: weights that were taken; `made_by` is the recorded run that made
    them, null: they came from elsewhere. `models` are the registered versions that they are a part of."""

    sha256: str
    stage: str
    made_by: str | None
    models: tuple[ModelRef, ...]


class Trace(Record):
    """The answer; `at` is the time that it is about, None: now.

    Attributes:
        stages: everything upstream of the model's weights, each output after those that it was made from.
        measured_by: the other stages of its run.
        teachers: by part of the model.
        shared_parts: other registered versions that have a part of this model, by part.
    """

    at: str | None
    model: ModelRef
    parts: dict[str, str]
    prepared: tuple[Prepared, ...]
    stages: tuple[StageTrace, ...]
    measured_by: tuple[StageTrace, ...]
    teachers: dict[str, tuple[Teacher, ...]]
    networks: tuple[Network, ...]
    shared_parts: dict[str, tuple[ModelRef, ...]]
    surroundings: tuple[Surroundings, ...]
    runs: tuple[RunTrace, ...]
    decision: DecisionFacts | None
    passed_by: tuple[PassedBy, ...]
    approvals: tuple[Approval, ...]
    flags: tuple[Flag, ...]


def trace(books: Books, spec: str, *, logs: bool = False) -> Trace:
    """What the model that `spec` stands for (`find_model`) was made from; `logs` asks for the ids of logs as well.

    Raises:
        RecordError: there is no such model; or a record is missing, altered or not what its name says.
    """
    model, entries = model_of(books, spec), books.entries()
    body = registered(entries)[model.name, model.version]
    run = statement_of(books, body.run_id)
    made = upstream(books, run, body.parts.values())
    steps = tuple(_stage(books, one) for one in made)
    known = {(step.stage, step.output) for step in steps}
    others = [one for one in stages_of(books, run).values() if (one.stage, one.output) not in known]
    return Trace(
        at=books.at,
        model=model,
        parts=body.parts,
        prepared=tuple(_prepared(books, one, logs) for one in made if one.stage == PREPARE),
        stages=steps,
        measured_by=tuple(_stage(books, one) for one in others),
        teachers={part: _chain(steps, sha256) for part, sha256 in body.parts.items()},
        networks=_networks(books, entries, made),
        shared_parts=_shared(entries, model, body.parts),
        surroundings=_surroundings(made),
        runs=_runs(books, run, steps),
        decision=decision_of(books, run.run_id),
        passed_by=_passed_by(entries, model),
        approvals=approvals_of(entries, model.model_sha256),
        flags=flags_of(entries, model.model_sha256),
    )


def _prepared(books: Books, made: Made, logs: bool) -> Prepared:
    clips = clips_of(books, made.output, made.run)
    digests = {
        d.name.removeprefix("source/"): d.digest["sha256"] for d in made.facts.dependencies if "source/" in d.name
    }
    names = sorted({*digests, *(count.source for count in clips.counts())})
    return Prepared(
        output=made.output,
        run_id=made.run.run_id,
        sources=tuple(Source(name=name, digest=digests.get(name)) for name in names),
        counts=clips.counts(),
        held_out_by_frames=clips.held_out_by_frames(),
        logs=clips.logs_by_split() if logs else None,
    )


def _stage(books: Books, made: Made) -> StageTrace:
    facts, digests = made.facts, {d.name: d.digest for d in made.facts.dependencies}
    makers = [run_id for _, run_id, outcome in runs_with(books, made.output) if outcome == "ran"]
    return StageTrace(
        stage=made.stage,
        output=made.output,
        run_id=made.run.run_id,
        outcome=facts.outcome,
        made_by=makers[0] if makers else None,
        seed=facts.params.get("seed"),
        threads=facts.params.get("threads"),
        params=made.section,
        inputs=made.inputs,
        weights=made.weights,
        pretrained=made.pretrained,
        commit=digests[CODE]["gitCommit"],
        tree=digests[CODE]["gitTree"],
        environment=digests.get(ENVIRONMENT_DEP, {}).get("sha256"),
        started_at=facts.started_at,
        finished_at=facts.finished_at,
    )


def _chain(steps: tuple[StageTrace, ...], weights: str) -> tuple[Teacher, ...]:
    """The outputs with weights on the way to a part, which comes last; other parts that its stages read are in it."""
    by_place = {(step.stage, step.output): step for step in steps}
    todo = [step for step in steps if weights in step.weights.values()]
    wanted = set()
    while todo:
        step = todo.pop()
        wanted.add((step.stage, step.output))
        found = [by_place[place] for place in step.inputs.items() if place in by_place]
        found += [one for one in steps if step.pretrained in one.weights.values()]
        todo += [one for one in found if (one.stage, one.output) not in wanted]
    return tuple(
        Teacher(stage=step.stage, output=step.output, weights=tuple(step.weights.values()), made_by=step.made_by)
        for step in steps
        if step.weights and (step.stage, step.output) in wanted
    )


def _networks(books: Books, entries: list[Entry], made: list[Made]) -> tuple[Network, ...]:
    taken = {one.pretrained: one.stage for one in made if one.pretrained is not None}
    return tuple(
        Network(sha256=sha256, stage=stage, made_by=maker_of(books, sha256), models=_models_with(entries, sha256))
        for sha256, stage in sorted(taken.items())
    )


def _models_with(entries: Iterable[Entry], weights: str) -> tuple[ModelRef, ...]:
    return tuple(
        ModelRef(model_sha256=body.model_sha256, name=body.name, version=body.version)
        for body in registered(entries).values()
        if weights in body.parts.values()
    )


def _shared(entries: list[Entry], model: ModelRef, parts: dict[str, str]) -> dict[str, tuple[ModelRef, ...]]:
    others = {
        part: tuple(ref for ref in _models_with(entries, sha256) if ref.model_sha256 != model.model_sha256)
        for part, sha256 in parts.items()
    }
    return {part: refs for part, refs in others.items() if refs}


def _surroundings(made: list[Made]) -> tuple[Surroundings, ...]:
    found: dict[str, tuple[dict[str, str], list[str]]] = {}
    for one in made:
        sha256 = next((d.digest["sha256"] for d in one.facts.dependencies if d.name == ENVIRONMENT_DEP), None)
        if sha256 is not None:
            found.setdefault(sha256, (one.facts.environment, []))[1].append(one.stage)
    return tuple(Surroundings(sha256=key, facts=facts, stages=tuple(of)) for key, (facts, of) in found.items())


def _runs(books: Books, run: RunStatement, steps: tuple[StageTrace, ...]) -> tuple[RunTrace, ...]:
    ids = {run.run_id, *(step.run_id for step in steps), *(step.made_by for step in steps if step.made_by)}
    facts = [statement_of(books, run_id).facts for run_id in ids]
    found = [RunTrace.model_validate({name: getattr(one, name) for name in RunTrace.model_fields}) for one in facts]
    return tuple(sorted(found, key=lambda one: (one.ended_at, one.run_id)))


def _passed_by(entries: list[Entry], model: ModelRef) -> tuple[PassedBy, ...]:
    completed = {body.promotion: entry.time for entry, body in bodies(entries, PromotionCompleted)}
    return tuple(
        PassedBy(
            sequence=entry.sequence,
            time=entry.time,
            actor=entry.actor,
            cause=body.cause,
            reason=body.reason,
            run_id=body.run_id,
            completed_at=completed.get(body.promotion),
        )
        for entry, body in bodies(entries, PromotionIntended)
        if body.model_sha256 == model.model_sha256 and body.name == model.name
    )
