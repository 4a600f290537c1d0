"""How an output came to be, as the stages' statements have it: stage by stage, back to the prepared clips.

A run's statements name every stage of its chain, also what it found made. Weights that a stage was told to take lead on
to the run that made them. Statements are read as they stand; whether they are to be trusted, `audit verify` says.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from flows.audit.books import Books
from flows.audit.models import run_of
from flows.lineage.index import Edge
from flows.lineage.records import MANIFEST, RunStatement, stage_record
from flows.signing.dsse import unverified
from flows.signing.statements import StageFacts, read_stage_statement
from worldmodel.errors import RecordError

PREPARE, VALIDATE, EVALUATE = "prepare", "validate", "evaluate"
_ARTIFACTS = "artifacts/"


@dataclass(frozen=True)
class Made:
    """A stage's output in a run, with its statement."""

    run: RunStatement
    facts: StageFacts

    @property
    def stage(self) -> str:
        """Which stage."""
        return self.facts.stage

    @property
    def output(self) -> str:
        """sha256 of the output's manifest."""
        return self.facts.subjects[f"{_ARTIFACTS}{self.stage}/{MANIFEST}"]

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the weights in the output, by their path in it."""
        inside = PurePosixPath(_ARTIFACTS, self.stage)
        return {
            PurePosixPath(path).relative_to(inside).as_posix(): sha256
            for path, sha256 in self.facts.subjects.items()
            if path.endswith(".safetensors")
        }

    @property
    def inputs(self) -> dict[str, str]:
        """sha256 of the manifests that the stage read, by the stage that made them."""
        found = [d for d in self.facts.dependencies if d.name.startswith(_ARTIFACTS)]
        return {d.name.removeprefix(_ARTIFACTS): d.digest["sha256"] for d in found}

    @property
    def section(self) -> dict[str, Any]:
        """The stage's own params, without seed and threads."""
        return dict(self.facts.params.get(self.stage) or {})

    @property
    def pretrained(self) -> str | None:
        """sha256 of the weights that the stage was told to take, if it was."""
        told = self.section.get("pretrained")
        return str(told["sha256"]) if isinstance(told, dict) else None


def statement_of(books: Books, run_id: str) -> RunStatement:
    """The statement of a run.

    Raises:
        RecordError: it left none.
    """
    run = run_of(books, run_id)
    if run is None:
        fix = "a run that was killed leaves none: run it again, it goes on where it stopped"
        raise RecordError(f"run {run_id} has left no statement", expected="the records of a run that ended", fix=fix)
    return run


def stages_of(books: Books, run: RunStatement) -> dict[str, Made]:
    """Every stage's output in a run, by stage, each after those that it read.

    Raises:
        RecordError, SigningError: a statement is gone or not what its name says.
    """
    found = {}
    for stage in run.stages:
        where = f"{stage_record(stage, 'statement.json')} of run {run.run_id}"
        facts = read_stage_statement(unverified(books.records.envelope(run, stage), where), where)
        found[stage] = Made(run, facts)
    return {made.stage: made for made in _in_order(found, found.values())}


def _in_order(stages: dict[str, Made], wanted: Iterable[Made]) -> Iterator[Made]:
    """What was made, each after what it was made from, and nothing twice."""
    seen: set[str] = set()

    def visit(made: Made) -> Iterator[Made]:
        if made.stage not in seen:
            seen.add(made.stage)
            for parent in sorted(made.inputs):
                if parent in stages:
                    yield from visit(stages[parent])
            yield made

    for made in wanted:
        yield from visit(made)


def upstream(books: Books, run: RunStatement, weights: Iterable[str]) -> list[Made]:
    """Every output that weights of a run were made from, theirs included, each after those that it read.

    What pretrained weights were made from comes first, where one of the recorded runs made them.
    """
    stages, wanted = stages_of(books, run), set(weights)
    own = list(_in_order(stages, [made for made in stages.values() if wanted & set(made.weights.values())]))
    before: dict[tuple[str, str], Made] = {}
    for made in own:
        maker = None if made.pretrained is None else maker_of(books, made.pretrained)
        if maker is not None and made.pretrained is not None and maker != run.run_id:
            earlier = upstream(books, statement_of(books, maker), [made.pretrained])
            before |= {(one.stage, one.output): one for one in earlier}
    return [*before.values(), *own]


def maker_of(books: Books, weights: str) -> str | None:
    """The run that made weights first, as far as it was recorded by the books' time."""
    found = _edges_into(books, weights, "weights", ("file",))
    runs = [row for edge in found for row in runs_with(books, edge.src.key) if row[2] == "ran"]
    return min(runs)[1] if runs else None


def runs_with(books: Books, output: str) -> list[tuple[str, str, str]]:
    """Every run with an output: (when it ended, run, outcome); first the one that made it, where that is recorded."""
    edges = _edges_into(books, output, "output", ("ran", "cached", "restored"))
    rows = [(edge.since, edge.src.key, edge.role) for edge in edges]
    return sorted(rows, key=lambda row: (row[2] != "ran", row))


def _edges_into(books: Books, key: str, kind: str, roles: tuple[str, ...]) -> list[Edge]:
    try:
        node = books.index.resolve(key, (kind,))
    except RecordError:  # none of the runs knows it
        return []
    return [edge for edge in books.index.edges_into(node, roles) if books.holds(edge.since)]
