"""A model card from a subject: who made the model from what, what was measured and decided, and what was not."""

import json
from collections.abc import Iterator
from datetime import datetime

from evaluation.base import fingerprint
from flows.audit.cards import schema
from flows.audit.cards.data_facts import PreparedData, source_facts, validation
from flows.audit.cards.history import events, standing
from flows.audit.cards.measures import measures
from flows.audit.cards.subject import REPORT, Subject, parents
from flows.audit.cards.words import PARTS, UNKNOWN_PART
from flows.bundle import PARTS as BUNDLE
from flows.ledger.standing import recalled
from flows.lineage.records import MANIFEST, stage_record
from flows.signing.statements import StageFacts
from flows.stage import NOT_APPLICABLE_FILE


def model_card(subject: Subject) -> schema.ModelCard:
    """The card. It depends on records and ledger alone: equal ones give equal cards.

    Raises:
        RecordError: a record is gone, altered or of another schema.
    """
    entry, model = subject.registration
    last = subject.entries[-1]
    return schema.ModelCard(
        model=schema.Identity(
            name=model.name,
            version=model.version,
            sha256=model.model_sha256,
            registered_at=entry.time,
            registered_by=entry.actor,
        ),
        as_of=schema.AsOf(sequence=last.sequence, hash=last.hash, time=last.time),
        standing=standing(subject),
        parts=tuple(_part(name, sha256) for name, sha256 in model.parts.items()),
        run=_run(subject),
        data=None if subject.data is None else _data(subject, subject.data),
        training=tuple(_stage(subject, facts) for facts in subject.stages.values()),
        packages=subject.packages,
        evaluation=_evaluation(subject),
        decision=_decision(subject),
        not_measured=tuple(_not_measured(subject)),
        history=tuple(events(subject)),
    )


def _part(name: str, sha256: str) -> schema.Part:
    known = next((part for part in BUNDLE if part.name == name), None)
    words = PARTS.get(name, UNKNOWN_PART)
    return schema.Part(
        name=name,
        title=words.title,
        stage=known.stage if known else "",
        weights=known.weights if known else "",
        sha256=sha256,
        what=words.what,
        uses=words.uses,
        limits=words.limits,
    )


def _run(subject: Subject) -> schema.Run:
    run = subject.made
    shared = set(schema.Run.model_fields) & set(type(run.facts).model_fields)
    return schema.Run(
        **run.facts.model_dump(include=shared),
        statement_sha256=run.sha256,
        signed_by=str(run.envelope["signatures"][0]["keyid"]),
    )


def _data(subject: Subject, data: PreparedData) -> schema.Data:
    recalls = recalled(subject.entries).values()
    return schema.Data(
        manifest_sha256=data.manifest_sha256,
        shards=len(data.shards),
        bytes=sum(shard.bytes for shard in data.shards),
        sources=source_facts(data),
        shared_logs=data.shared_logs,
        left_out=data.left_out,
        validation=validation(subject.records, subject.made),
        recalled=tuple(seen for recall in recalls if (seen := data.seen(recall)) is not None),
    )


def _stage(subject: Subject, own: StageFacts) -> schema.Stage:
    """A stage as this run has it, with the times and surroundings of the run that computed it."""
    maker = subject.makers.get(own.stage)
    section = own.params.get(own.stage)
    params = section if isinstance(section, dict) else {}
    training = params.get("train") if isinstance(params.get("train"), dict) else params
    steps, seed = (training or {}).get("steps"), own.params.get("seed")
    reason = subject.records.json(subject.made, stage_record(own.stage, NOT_APPLICABLE_FILE))
    return schema.Stage(
        stage=own.stage,
        outcome=own.outcome,
        made_in=None if maker is None else maker.run_id,
        output_sha256=subject.made.files.get(stage_record(own.stage, MANIFEST), ""),
        inputs=tuple(parents(own)),
        seed=seed if isinstance(seed, int) else None,
        steps=steps if isinstance(steps, int) else None,
        params=dict(params),
        seconds=None if maker is None else _seconds(maker),
        environment=dict(sorted((maker or own).environment.items())),
        not_applicable=None if reason is None else _reason(reason),
    )


def _reason(value: object) -> str:
    reason = value.get("reason") if isinstance(value, dict) else None
    return str(reason) if reason is not None else json.dumps(value, sort_keys=True)


def _seconds(facts: StageFacts) -> float | None:
    try:
        started, finished = (datetime.fromisoformat(text) for text in (facts.started_at, facts.finished_at))
    except ValueError:
        return None
    return round((finished - started).total_seconds(), 1)


def _evaluation(subject: Subject) -> schema.Evaluation | None:
    report = subject.report
    if report is None:
        return None
    losses = {"train_worldrec": report.training, **report.generation_training}
    performance = subject.inputs.evidence.performance if subject.inputs is not None else None
    shared = set(schema.Performance.model_fields)
    return schema.Evaluation(
        report_sha256=fingerprint(report),
        protocol=report.protocol.preset.name,
        protocol_sha256=report.protocol_fingerprint,
        summary=report.summary,
        intervals=f"95 %: means over clips by {report.statistics.method}; distances by {report.statistics.distances}",
        clips=len(report.clips),
        measures=tuple(measures(report)),
        losses=tuple(
            schema.Loss(
                stage=stage,
                steps=found.steps,
                first_tenth=found.loss_first_tenth,
                last_tenth=found.loss_last_tenth,
                sentence=found.sentence,
            )
            for stage, found in losses.items()
            if found is not None
        ),
        networks=tuple(
            schema.Network(id=one.id, package=one.package, sha256=one.file_sha256, licence=one.licence, kind=one.kind)
            for one in report.protocol.extractors
        ),
        performance=None if performance is None else schema.Performance(**performance.model_dump(include=shared)),
    )


def _decision(subject: Subject) -> schema.Decision | None:
    decision = subject.decision
    if decision is None:
        return None
    held_against = subject.inputs.champion_report if subject.inputs is not None else None
    return schema.Decision(
        sha256=fingerprint(decision),
        verdict=decision.verdict,
        summary=decision.summary,
        champion_sha256=None if held_against is None else held_against.model.sha256,
        rules=tuple(schema.Rule(id=r.id, verdict=r.verdict, sentence=r.sentence) for r in decision.rules),
    )


def _not_measured(subject: Subject) -> Iterator[schema.NotMeasured]:
    """What is missing, each with its reason."""
    report = subject.report
    if report is None:
        yield schema.NotMeasured(what="everything", reason=f"run {subject.decided.run_id} left no {REPORT}")
    else:
        for one in report.not_applicable:
            yield schema.NotMeasured(what=one.what, reason=one.reason)
        measured = {group.source for group in report.groups} | {group.source for group in report.generation}
        for source in report.data.sources:
            if source.name not in measured:
                yield schema.NotMeasured(what=source.name, reason="no clip of this source was measured")
    if subject.inputs is None or subject.inputs.evidence.performance is None:
        yield schema.NotMeasured(what="speed and memory", reason="no measurement was put before the gate")
    for part in (part for part in BUNDLE if part.name not in subject.model.parts):
        reason = f"the version holds none: {part.stage} made none from these data"
        yield schema.NotMeasured(what=PARTS[part.name].title, reason=reason)
    for what in ("behaviour on data of other sources, cameras, rates or countries", "energy used in training"):
        yield schema.NotMeasured(what=what, reason="not part of the protocol")
