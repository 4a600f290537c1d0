"""Question 6: what differs between two models, or two runs: data, params, code, surroundings, weights, numbers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from evaluation.base import Record
from flows.audit.books import SHORTEST_PREFIX, Books, ModelRef, names_model
from flows.audit.clips import clips_of
from flows.audit.keys import Change, changes, dotted, limit_keys
from flows.audit.making import EVALUATE, PREPARE, stages_of, statement_of
from flows.audit.models import DecisionFacts, decision_json, decision_of, model_of
from flows.git import git
from flows.ledger.bodies import RunRecorded
from flows.ledger.standing import bodies, registered
from flows.lineage.records import ENVIRONMENT, PACKAGES, PARAMS, RunStatement, stage_record
from worldmodel.errors import RecordError, WorkspaceError

_REPORT = stage_record(EVALUATE, "report.json")


class Side(Record):
    """What is compared: a run, and the model that it registered or that was asked for, if there is one."""

    run_id: str
    status: str
    model: ModelRef | None
    snapshot: str
    tree: str
    dirty: bool


class DataDiff(Record):
    """Sources as `name@digest`; logs by id; `moved` is a log's splits before and after. Null counts: no clips."""

    sources: tuple[Change, ...]
    added: dict[str, str]
    removed: dict[str, str]
    moved: dict[str, tuple[str, str]]
    n_clips: tuple[int | None, int | None]


class FileChange(Record):
    """A file of the code, with lines added and removed (null: not text)."""

    path: str
    added: int | None
    removed: int | None


class CodeDiff(Record):
    """`same`: equal trees. `files` is null where the checkout does not have both commits, and `why` says so."""

    same: bool
    files: tuple[FileChange, ...] | None
    why: str | None


class MetricDiff(Record):
    """A number that both reports have; `difference` is B - A, null where either has no value."""

    key: str
    unit: str
    direction: str
    before: float | None
    after: float | None
    difference: float | None


class MetricsDiff(Record):
    """`comparable`: measured under one protocol on the same data; else `why` they are not, or not there."""

    comparable: bool
    why: str | None
    values: tuple[MetricDiff, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


class Differences(Record):
    """The answer, from A to B; `at` is the time that it is about, None: now. Changes are by dotted key.

    `same`: A and B are one run of one model, or of none, so nothing can differ.
    """

    at: str | None
    a: Side
    b: Side
    same: bool
    data: DataDiff
    params: tuple[Change, ...]
    code: CodeDiff
    environment: tuple[Change, ...]
    packages: tuple[Change, ...]
    weights: tuple[Change, ...]
    metrics: MetricsDiff
    decisions: tuple[DecisionFacts | None, DecisionFacts | None]
    rules: tuple[Change, ...]


def differences(books: Books, a: str, b: str) -> Differences:
    """What differs from A to B, each a model (`flows.audit.books.find_model`) or a run.

    Raises:
        RecordError: nothing or more than one thing is called that; or a record is gone or was altered.
    """
    (side_a, run_a), (side_b, run_b) = _side(books, a), _side(books, b)
    read = [_Read(books, run) for run in (run_a, run_b)]
    before, after = read
    return Differences(
        at=books.at,
        a=side_a,
        b=side_b,
        same=side_a == side_b,
        data=_data(before, after),
        params=changes(before.params(), after.params()),
        code=_code(books.checkout, run_a, run_b),
        environment=changes(before.mapping(ENVIRONMENT), after.mapping(ENVIRONMENT)),
        packages=changes(before.mapping(PACKAGES), after.mapping(PACKAGES)),
        weights=changes(run_a.facts.parts, run_b.facts.parts),
        metrics=_metrics(books.records.json(run_a, _REPORT), books.records.json(run_b, _REPORT)),
        decisions=(decision_of(books, run_a.run_id), decision_of(books, run_b.run_id)),
        rules=changes(before.rules(), after.rules()),
    )


class _Read:
    """The records of one side, as far as they are there."""

    def __init__(self, books: Books, run: RunStatement) -> None:
        self.books, self.run = books, run

    def params(self) -> dict[str, Any]:
        """params.yaml by dotted key; the gate's limits by what they are about."""
        found = yaml.safe_load(self.books.records.text(self.run, PARAMS) or "") or {}
        gate = found.pop("gate", None) or {}
        return {**dotted(found), **{f"gate.{key}": value for key, value in limit_keys(gate).items()}}

    def mapping(self, name: str) -> dict[str, Any]:
        """A record that is one flat mapping."""
        return dict(self.books.records.json(self.run, name) or {})

    def rules(self) -> dict[str, str]:
        """The verdict of every rule of the decision."""
        decision = decision_json(self.books, self.run)
        return {} if decision is None else {rule["id"]: rule["verdict"] for rule in decision["rules"]}

    def data(self) -> tuple[dict[str, str], dict[str, str], int | None]:
        """Digests of the sources by name, the split of every log, and the number of clips."""
        made = stages_of(self.books, self.run).get(PREPARE)
        if made is None:
            return {}, {}, None
        clips = clips_of(self.books, made.output, self.run)
        listed = self.books.records.json(self.run, stage_record(PREPARE, "sources.json")) or {"sources": []}
        digests = {entry["name"]: entry["digest"] or "generated" for entry in listed["sources"]}
        splits = {log: split for split, logs in clips.logs_by_split().items() for log in logs}
        return digests, splits, clips.table.num_rows


def _side(books: Books, spec: str) -> tuple[Side, RunStatement]:
    entries = books.entries()
    recorded = {body.run_id: body for _, body in bodies(entries, RunRecorded)}
    meant = [spec] if spec in recorded else []
    if not meant and len(spec) >= SHORTEST_PREFIX and not names_model(books, spec):
        meant = [run_id for run_id in recorded if run_id.startswith(spec) or run_id.endswith(spec)]
    if len(meant) > 1:
        raise RecordError(f"{spec}: more than one run is meant", got=", ".join(meant[:5]), fix="give the whole id")
    model = None if meant else model_of(books, spec)
    known = registered(entries)
    run = statement_of(books, known[model.name, model.version].run_id if model else meant[0])
    facts = run.facts
    if model is None and facts.model_sha256 and (facts.model or "", facts.version or "") in known:
        model = ModelRef(model_sha256=facts.model_sha256, name=str(facts.model), version=str(facts.version))
    side = Side(
        run_id=run.run_id,
        status=facts.status,
        model=model,
        snapshot=facts.snapshot,
        tree=facts.tree,
        dirty=facts.dirty,
    )
    return side, run


def _data(before: _Read, after: _Read) -> DataDiff:
    (sources_a, logs_a, clips_a), (sources_b, logs_b, clips_b) = before.data(), after.data()
    both = sorted(logs_a.keys() & logs_b.keys())
    return DataDiff(
        sources=changes(sources_a, sources_b),
        added={log: logs_b[log] for log in sorted(logs_b.keys() - logs_a.keys())},
        removed={log: logs_a[log] for log in sorted(logs_a.keys() - logs_b.keys())},
        moved={log: (logs_a[log], logs_b[log]) for log in both if logs_a[log] != logs_b[log]},
        n_clips=(clips_a, clips_b),
    )


def _code(checkout: Path | None, a: RunStatement, b: RunStatement) -> CodeDiff:
    if a.facts.tree == b.facts.tree:
        return CodeDiff(same=True, files=(), why=None)
    if checkout is None:
        return CodeDiff(same=False, files=None, why="there is no checkout here")
    try:
        told = git(checkout, "diff", "--numstat", "--no-renames", a.facts.snapshot, b.facts.snapshot)
    except WorkspaceError as error:
        return CodeDiff(same=False, files=None, why=f"the checkout does not have both commits: {error.got[:200]}")
    rows = [line.split("\t", 2) for line in told.splitlines()]
    files = (FileChange(path=path, added=_count(added), removed=_count(removed)) for added, removed, path in rows)
    return CodeDiff(same=False, files=tuple(files), why=None)


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _metrics(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> MetricsDiff:
    if before is None or after is None:
        return MetricsDiff(comparable=False, why="one of them has no report", values=(), only_before=(), only_after=())
    ours, theirs = dict(_values(before)), dict(_values(after))
    why = _incomparable(before, after)
    return MetricsDiff(
        comparable=why is None,
        why=why,
        values=tuple(_metric(key, ours[key], theirs[key]) for key in sorted(ours.keys() & theirs.keys())),
        only_before=tuple(sorted(ours.keys() - theirs.keys())),
        only_after=tuple(sorted(theirs.keys() - ours.keys())),
    )


def _values(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every metric of a report by source, split, method, id and region."""
    for group in report["groups"]:
        place = f"{group['source']}/{'same log' if group['same_log'] else group['split']}"
        for metric in group["metrics"]:
            region = "" if metric["region"] == "all" else f"[{metric['region']}]"
            yield f"{place}/{metric['id']}{region}", metric
    for group in report["generation"]:
        place = f"{group['source']}/{'same log' if group['same_log'] else group['split']}"
        for method in group["methods"]:
            for metric in method["metrics"]:
                yield f"{place}/{method['name']}/{metric['id']}", metric


def _incomparable(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Why the numbers of two reports do not compare."""
    if before["protocol_fingerprint"] != after["protocol_fingerprint"]:
        found = changes(dotted(before["protocol"]), dotted(after["protocol"]))
        return f"other protocols: {', '.join(change.key for change in found[:5])}"
    if before["data"]["sha256"] != after["data"]["sha256"]:
        return f"other data were measured: {before['data']['sha256'][:16]} and {after['data']['sha256'][:16]}"
    return None


def _metric(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> MetricDiff:
    ours, theirs = before["value"], after["value"]
    return MetricDiff(
        key=key,
        unit=before["unit"],
        direction=before["direction"],
        before=ours,
        after=theirs,
        difference=None if ours is None or theirs is None else theirs - ours,
    )
