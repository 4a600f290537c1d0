"""What cards are made from: one registered model, the run that made it, the run that decided about it, the ledger."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import ValidationError

from evaluation.base import Record
from evaluation.decision import Decision, GateInputs
from evaluation.report import Report
from flows.audit.cards.data_facts import PreparedData, prepared_data
from flows.ledger.bodies import ModelRegistered, PromotionIntended
from flows.ledger.entry import Entry
from flows.ledger.reading import bodies
from flows.lineage.records import DECISION, GATE_INPUTS, PACKAGES, Records, RunStatement, stage_record
from flows.manifest import digest
from flows.signing.dsse import unverified
from flows.signing.statements import StageFacts, read_stage_statement
from worldmodel.errors import RecordError

REPORT = stage_record("evaluate", "report.json")
Kind = TypeVar("Kind", bound=Record)


@dataclass(frozen=True)
class Subject:
    """One model and all that is recorded of it. Nothing here is verified: that comes first, or a card says nothing.

    Attributes:
        entries: of the whole ledger, in order.
        registration: the entry that registered the model, with its body.
        made: the run that registered it first.
        decided: the run whose decision made it champion; else that of `made`.
        stages: what `made` says of its stages, in the order of the pipeline.
        makers: by stage, the statement of the run that computed the output, where one is known.
    """

    records: Records
    entries: Sequence[Entry]
    registration: tuple[Entry, ModelRegistered]
    made: RunStatement
    decided: RunStatement
    stages: dict[str, StageFacts]
    makers: dict[str, StageFacts]

    @property
    def model(self) -> ModelRegistered:
        """Name, version, digest and parts."""
        return self.registration[1]

    @property
    def title(self) -> str:
        """`NAME version N`."""
        return f"{self.model.name} version {self.model.version}"

    @cached_property
    def data(self) -> PreparedData | None:
        """The prepared data, or None where the run has none."""
        return prepared_data(self.records, self.made)

    @cached_property
    def report(self) -> Report | None:
        """The report that was decided on, or None where nothing was measured."""
        return _parsed(Report, self.records, self.decided, REPORT)

    @cached_property
    def decision(self) -> Decision | None:
        """What the gate decided, or None where it did not."""
        return _parsed(Decision, self.records, self.decided, DECISION)

    @cached_property
    def inputs(self) -> GateInputs | None:
        """What the decision followed from, or None."""
        return _parsed(GateInputs, self.records, self.decided, GATE_INPUTS)

    @cached_property
    def packages(self) -> dict[str, str]:
        """Versions of the packages that were installed in the run, by name."""
        found = self.records.json(self.made, PACKAGES) or {}
        return {str(name): str(version) for name, version in sorted(found.items())}

    @property
    def origins(self) -> tuple[str, ...]:
        """The runs that this model is from: that made it, that decided, that computed what both found; sorted."""
        computed = {facts.run_id for facts in self.makers.values()}
        kept = {run_id for run_id in computed if self.records.run_path(run_id).is_file()}
        return tuple(sorted(kept | {self.made.run_id, self.decided.run_id}))


def subject_of(records: Records, entries: Sequence[Entry], name: str, version: str) -> Subject:
    """Everything recorded of a registered version.

    Raises:
        RecordError: it is not registered, or a record is gone, altered, or of another schema.
        SigningError: something that should be an envelope is none.
    """
    found = [pair for pair in bodies(entries, ModelRegistered) if (pair[1].name, pair[1].version) == (name, version)]
    if not found:
        raise RecordError(f"{name} version {version} is not registered", fix="worldmodel audit champion --history")
    registration = found[-1]
    made = records.run(registration[1].run_id)
    stages = _stages(records, made)
    return Subject(
        records=records,
        entries=entries,
        registration=registration,
        made=made,
        decided=_deciding_run(records, entries, registration[1], made),
        stages=stages,
        makers={stage: facts for stage, own in stages.items() if (facts := _maker(records, own)) is not None},
    )


def _deciding_run(
    records: Records, entries: Sequence[Entry], model: ModelRegistered, made: RunStatement
) -> RunStatement:
    intents = [
        body.run_id
        for _, body in bodies(entries, PromotionIntended)
        if (body.name, body.model_sha256) == (model.name, model.model_sha256) and body.run_id and body.decision_sha256
    ]
    return records.run(intents[-1]) if intents else made


def _stages(records: Records, run: RunStatement) -> dict[str, StageFacts]:
    """The stages' statements, each after those that it read from, else by name."""
    facts = {stage: _stage_facts(records, run, stage) for stage in run.stages}
    ordered: dict[str, StageFacts] = {}

    def visit(stage: str) -> None:
        if stage in ordered or stage not in facts:
            return
        for parent in parents(facts[stage]):
            if parent != stage:
                visit(parent)
        ordered.setdefault(stage, facts[stage])

    for stage in facts:
        visit(stage)
    return ordered


def parents(facts: StageFacts) -> list[str]:
    """The stages whose outputs a stage read."""
    names = sorted(dependency.name for dependency in facts.dependencies)
    return [name.removeprefix("artifacts/") for name in names if name.startswith("artifacts/")]


def _stage_facts(records: Records, run: RunStatement, stage: str) -> StageFacts:
    where = f"statement of {stage} in run {run.run_id}"
    return read_stage_statement(unverified(records.envelope(run, stage), where), where)


def _maker(records: Records, own: StageFacts) -> StageFacts | None:
    """The statement of who computed an output: this run's own, or that of the run it was found from."""
    if own.outcome == "ran":
        return own
    sha256 = records.maker(digest(own.lock))
    if sha256 is None:
        return None
    where = f"statement {sha256[:16]}"
    found = read_stage_statement(unverified(json.loads(records.get(sha256, where)), where), where)
    return found if found.subjects == own.subjects else None


def _parsed(kind: type[Kind], records: Records, run: RunStatement, name: str) -> Kind | None:
    value = records.json(run, name)
    if value is None:
        return None
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(
            f"{name} of run {run.run_id}: of another schema than this version reads",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300],
            fix="export it with the version that made it",
        ) from None
