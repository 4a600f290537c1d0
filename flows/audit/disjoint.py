"""Question 4: was a model measured on logs that its training never read? Counted anew from the recorded clips.

Training's clips are those of every prepared output upstream of the weights, teachers' included; the measured ones those
of the outputs that evaluations of the model read. So a log that trained a teacher and measured its pupil is found.
"""

from typing import Literal

from evaluation.base import Record
from flows.audit.books import Books, ModelRef, find_model
from flows.audit.clips import PreparedClips, SplitCount, clips_of
from flows.audit.making import EVALUATE, PREPARE, maker_of, stages_of, statement_of, upstream
from flows.ledger.bodies import RunRecorded
from flows.ledger.standing import bodies, registered
from flows.lineage.records import RunStatement

MEASURED = ("val", "test")


class SharedLog(Record):
    """A log on both sides, and where: `trained` and `measured` are splits."""

    log_id: str
    source: str
    trained: str
    measured: str


class Data(Record):
    """One prepared output, and what it served for."""

    output: str
    run_id: str
    used_for: tuple[Literal["training", "measuring"], ...]
    counts: tuple[SplitCount, ...]


class Disjoint(Record):
    """The answer; `at` is the time that it is about, None: now.

    Attributes:
        verdict: `disjoint` (no log on both sides), `shared`, or `not shown` where no log was measured or trained.
        n_training_logs, n_measured_logs: different logs in train; in val and test.
        shared: logs that trained and measured, or tuned (val) and measured (test).
        held_out_by_frames: training logs of which only some frames are held out, with the number of clips: their
            measurements are kept apart, and are no evidence about unseen logs.
        unknown_networks: digests of pretrained weights that no recorded run made: what they saw is not known here.
    """

    at: str | None
    model: ModelRef
    verdict: Literal["disjoint", "shared", "not shown"]
    sentence: str
    n_training_logs: int
    n_measured_logs: int
    shared: tuple[SharedLog, ...]
    held_out_by_frames: dict[str, int]
    unknown_networks: tuple[str, ...]
    data: tuple[Data, ...]


def disjoint(books: Books, spec: str) -> Disjoint:
    """Whether logs that trained the model that `spec` stands for (`find_model`) also measured it.

    Raises:
        RecordError: there is no such model; or a record is missing, altered or not what its name says.
    """
    model, entries = find_model(books, spec), books.entries()
    body = registered(entries)[model.name, model.version]
    run = statement_of(books, body.run_id)
    chain = upstream(books, run, body.parts.values())
    trained = {made.output: clips_of(books, made.output, made.run) for made in chain if made.stage == PREPARE}
    runs = {b.run_id for _, b in bodies(entries, RunRecorded) if b.model_sha256 == model.model_sha256 and b.verdict}
    measured: dict[str, PreparedClips] = {}
    for run_id in sorted(runs | {body.run_id}):
        measured |= _measured_on(books, statement_of(books, run_id))
    training = _logs(trained, "train")
    measuring = {**_logs(measured, "val"), **_logs(measured, "test")}
    shared = _shared(trained, measured)
    verdict: Literal["disjoint", "shared", "not shown"] = "disjoint"
    if not measuring or not training:
        verdict = "not shown"
    elif shared:
        verdict = "shared"
    return Disjoint(
        at=books.at,
        model=model,
        verdict=verdict,
        sentence=_sentence(len(training), len(measuring), len({one.log_id for one in shared})),
        n_training_logs=len(training),
        n_measured_logs=len(measuring),
        shared=shared,
        held_out_by_frames={log: n for clips in trained.values() for log, n in clips.held_out_by_frames().items()},
        unknown_networks=tuple(sorted({w for w in (m.pretrained for m in chain) if w and not maker_of(books, w)})),
        data=_data(trained, measured),
    )


def _measured_on(books: Books, run: RunStatement) -> dict[str, PreparedClips]:
    """The prepared output that a run's evaluation read, by its digest."""
    evaluation = stages_of(books, run).get(EVALUATE)
    output = None if evaluation is None else evaluation.inputs.get(PREPARE)
    return {} if output is None else {output: clips_of(books, output, run)}


def _logs(outputs: dict[str, PreparedClips], split: str) -> dict[str, str]:
    """The source of every log in a split of any of the outputs."""
    return {log: source for clips in outputs.values() for log, source in clips.logs(split).items()}


def _shared(trained: dict[str, PreparedClips], measured: dict[str, PreparedClips]) -> tuple[SharedLog, ...]:
    """Logs that were read in one split and measured in another; both `train` outputs and `val` may have read them."""
    read = {"train": _logs(trained, "train"), "val": {**_logs(trained, "val"), **_logs(measured, "val")}}
    pairs = (("train", "val"), ("train", "test"), ("val", "test"))
    return tuple(
        SharedLog(log_id=log, source=read[ours][log], trained=ours, measured=theirs)
        for ours, theirs in pairs
        for log in sorted(read[ours].keys() & _logs(measured, theirs).keys())
    )


def _sentence(training: int, measured: int, shared: int) -> str:
    if not training or not measured:
        return f"{training} logs trained and {measured} measured: it was not shown that any log is held out"
    if shared:
        return f"{shared} of {measured} measured logs are not held out: training read them, or chose by them"
    return f"none of the {measured} measured logs is among the {training} that trained"


def _data(trained: dict[str, PreparedClips], measured: dict[str, PreparedClips]) -> tuple[Data, ...]:
    found = []
    for output, clips in {**trained, **measured}.items():
        roles: list[Literal["training", "measuring"]] = []
        roles += ["training"] if output in trained else []
        roles += ["measuring"] if output in measured else []
        found.append(Data(output=output, run_id=clips.run_id, used_for=tuple(roles), counts=clips.counts()))
    return tuple(found)
