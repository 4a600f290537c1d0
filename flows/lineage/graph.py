"""One run's part of the lineage graph: what its records say went into what. Pure.

The graph is built from the statements inside envelopes as they stand, nobody's word: whether a key that was trusted
signed them, and whether the files are those that they name, is for `worldmodel audit verify` to decide.

An edge `src -> dst` says that src went into dst. Nodes are named by content, so two runs may have made one node of
different things: equal verdicts on different data, say. Therefore roles differ in what they hold for (`Reach`), and a
walk never enters a node by one run's edge and leaves it by another's.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from evaluation.base import canonical_json, fingerprint
from flows.lineage.records import DECISION, GATE_INPUTS, MANIFEST, Records, RunStatement, stage_record
from flows.signing.dsse import unverified
from flows.signing.statements import CODE, ENVIRONMENT_DEP, StageFacts, read_stage_statement
from worldmodel.data.manifest import SPLITS
from worldmodel.errors import RecordError

if TYPE_CHECKING:
    pass

KINDS = (
    "source",
    "log",
    "clip",
    "shard",
    "output",
    "weights",
    "code",
    "params",
    "environment",
    "run",
    "report",
    "decision",
    "model",
    "network",
)
PART = "part:"
_GENERATED = "generated"
_CLIPS, _SOURCES, _REPORT = "clips.parquet", "sources.json", "report.json"
_PREPARE, _EVALUATE = "prepare", "evaluate"


class Reach(Enum):
    """What an edge holds for.

    RUN: one run's output was made of this. CONTENT: the bytes of dst say so, whoever made them. DATA: likewise, and
    beyond it no run matters: data, and the weights that another run took. COMPARED: dst was measured against src; that
    makes it no descendant, and walks leave it out.
    """

    RUN = 1
    CONTENT = 0
    DATA = -1
    COMPARED = -2


_REACH = {
    **dict.fromkeys(("input", "code", "params", "environment", "network", "cached", "restored"), Reach.RUN),
    **dict.fromkeys(("contains", *SPLITS, "packed", "part", "source", "pretrained"), Reach.DATA),
    **dict.fromkeys(("ran", "file", "report", "decided"), Reach.CONTENT),
    "champion": Reach.COMPARED,
}


def reach(role: str) -> Reach:
    """What an edge of this role holds for."""
    return Reach.CONTENT if role.startswith(PART) else _REACH[role]


class Ref(NamedTuple):
    """A node by name."""

    kind: str
    key: str


class Link(NamedTuple):
    """src went into dst, as `role`."""

    src: Ref
    dst: Ref
    role: str


@dataclass
class Graph:
    """What the records of one run say.

    Attributes:
        since: when the run ended, microseconds since 1970 UTC.
        statement_sha256: of the run's envelope.
        nodes: attributes by node, as canonical JSON; empty for a node that is only mentioned.
        links: the edges, in a fixed order.
        prepared: outputs of `prepare` whose clips are among the nodes.
    """

    run_id: str
    since: int
    statement_sha256: str
    nodes: dict[Ref, str] = field(default_factory=dict)
    links: dict[Link, None] = field(default_factory=dict)
    prepared: list[str] = field(default_factory=list)

    def node(self, kind: str, key: str, attrs: Mapping[str, Any] | None = None) -> Ref:
        """Adds a node; of two descriptions the one that sorts last stays, so that order does not matter."""
        ref = Ref(kind, key)
        self.nodes[ref] = max(self.nodes.get(ref, ""), canonical_json(dict(attrs)) if attrs else "")
        return ref

    def link(self, src: Ref, dst: Ref, role: str) -> None:
        """Adds an edge between nodes that were added."""
        self.links[Link(src, dst, role)] = None


def microseconds(time: str, where: str) -> int:
    """A time of a record (ISO 8601 with zone) as microseconds since 1970 UTC; `where` names it in the error.

    Raises:
        RecordError: it is no such time.
    """
    try:
        moment = datetime.fromisoformat(time)
        if moment.tzinfo is None:
            raise ValueError("no zone")
    except ValueError as error:
        raise RecordError(f"{where}: not a time", expected="ISO 8601 with a zone", got=f"{time!r}: {error}") from None
    whole = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def run_graph(records: Records, run: RunStatement, known: Collection[str] = ()) -> Graph:
    """The part of the graph that a run's records make.

    Args:
        records: where they are.
        run: the run's statement.
        known: outputs of `prepare` (sha256 of the manifest) whose clips need not be read again.

    Raises:
        RecordError: a record is gone, altered or not what its name says; names run and record.
        SigningError: a statement is no envelope.
    """
    facts = run.facts
    graph = Graph(run.run_id, microseconds(facts.ended_at, f"run {run.run_id}, ended_at"), run.sha256)
    kept = ("status", "verdict", "model", "version", "profile", "snapshot", "dirty")
    node = graph.node("run", run.run_id, {name: getattr(facts, name) for name in kept})
    for stage in run.stages:
        where = f"{stage_record(stage, 'statement.json')} of run {run.run_id}"
        statement = read_stage_statement(unverified(records.envelope(run, stage), where), where)
        with _named(where):
            output = _add_stage(graph, node, statement)
        if stage == _PREPARE and output.key not in known:
            _add_clips(graph, output, records, run)
        if stage == _EVALUATE:
            _add_report(graph, output, records, run)
    _add_outcome(graph, node, records, run)
    return graph


def _add_stage(graph: Graph, run: Ref, facts: StageFacts) -> Ref:
    """An output with what it was made of and the weights in it."""
    manifest = f"artifacts/{facts.stage}/{MANIFEST}"
    output = graph.node("output", facts.subjects[manifest], {"stage": facts.stage})
    graph.link(run, output, facts.outcome)
    params = graph.node("params", fingerprint(facts.params), {"stage": facts.stage, "params": facts.params})
    graph.link(params, output, "params")
    for dependency in facts.dependencies:
        name, digest = dependency.name, dependency.digest
        if name == CODE:
            graph.link(graph.node("code", digest["gitTree"]), output, "code")
        elif name == ENVIRONMENT_DEP:
            graph.link(graph.node("environment", digest["sha256"], facts.environment), output, "environment")
        elif name.startswith("artifacts/"):
            parent = {"stage": name.split("/")[1]}
            graph.link(graph.node("output", digest["sha256"], parent), output, "input")
    taken = _pretrained(facts)
    if taken:
        network = graph.node("network", taken)
        graph.link(graph.node("weights", taken), network, "pretrained")
        graph.link(network, output, "network")
    for name, sha256 in facts.subjects.items():
        if name.endswith(".safetensors") and sha256 != taken:  # what was taken was made elsewhere
            path = name.removeprefix("artifacts/")
            graph.link(output, graph.node("weights", sha256, {"path": path}), "file")
    return output


def _pretrained(facts: StageFacts) -> str:
    """sha256 of the weights that a stage was told to take; empty where it was not."""
    section = facts.params.get(facts.stage)
    told = section.get("pretrained") if isinstance(section, dict) else None
    return str(told["sha256"]) if isinstance(told, dict) else ""


def _add_clips(graph: Graph, output: Ref, records: Records, run: RunStatement) -> None:
    """Sources, logs, clips and shards of prepared data."""
    from worldmodel.data.shards import SHARD_DIRECTORY

    names = {name: stage_record(_PREPARE, name) for name in (_CLIPS, _SOURCES, MANIFEST)}
    where = {name: f"{record} of run {run.run_id}" for name, record in names.items()}
    if names[_CLIPS] not in run.files:
        return
    with _named(where[_SOURCES]):
        entries = records.json(run, names[_SOURCES])["sources"]
        sources = {entry["name"]: _source(graph, entry) for entry in entries}
        for source in sources.values():
            graph.link(source, output, "source")
    with _named(where[MANIFEST]):
        files = records.json(run, names[MANIFEST])["files"]
        shards = {
            name.removeprefix(f"{SHARD_DIRECTORY}/"): graph.node("shard", file["sha256"], {"name": name})
            for name, file in files.items()
            if name.startswith(f"{SHARD_DIRECTORY}/")
        }
        for shard in shards.values():
            graph.link(shard, output, "part")
    with _named(where[_CLIPS]):
        content = records.get(run.files[names[_CLIPS]], where[_CLIPS])
        for clip_id, log_id, source_name, split, shard_name in _clip_rows(content):
            if split not in SPLITS:
                raise ValueError(f"clip {clip_id} is in the split {split!r}")
            log, clip = graph.node("log", log_id), graph.node("clip", clip_id)
            graph.link(sources[source_name], log, "contains")
            graph.link(log, clip, "contains")
            graph.link(clip, output, split)
            graph.link(clip, shards[shard_name], "packed")
    graph.prepared.append(output.key)


def _source(graph: Graph, entry: Mapping[str, Any]) -> Ref:
    return graph.node("source", f"{entry['name']}@{entry['digest'] or _GENERATED}", {"adapter": entry["adapter"]})


def _clip_rows(content: bytes) -> Iterator[tuple[str, str, str, str, str]]:
    """Clip, log, source, split and shard of every row of clips.parquet; no other column is read."""
    import pyarrow.parquet

    names = ["clip_id", "log_id", "source", "split", "shard"]
    table: pyarrow.Table = pyarrow.parquet.read_table(BytesIO(content), columns=names)
    yield from zip(*(table[name].to_pylist() for name in names), strict=True)


def _add_report(graph: Graph, output: Ref, records: Records, run: RunStatement) -> None:
    """The report in an evaluation, and the networks that measured for it."""
    name = stage_record(_EVALUATE, _REPORT)
    with _named(f"{name} of run {run.run_id}"):
        value = records.json(run, name)
        if value is None:
            return
        graph.link(output, _report(graph, value), "report")
        for extractor in value["protocol"]["extractors"]:
            about = {key: extractor[key] for key in ("id", "package", "licence")}
            graph.link(graph.node("network", extractor["file_sha256"], about), output, "network")


def _report(graph: Graph, value: Mapping[str, Any]) -> Ref:
    return graph.node("report", fingerprint(value), {"model": value["model"]["sha256"]})


def _add_outcome(graph: Graph, node: Ref, records: Records, run: RunStatement) -> None:
    """The model of a run, and what was decided about it from which reports."""
    facts = run.facts
    model = graph.node("model", facts.model_sha256, {"name": facts.model}) if facts.model_sha256 else None
    if model is not None:
        for part, sha256 in facts.parts.items():
            graph.link(graph.node("weights", sha256), model, f"{PART}{part}")
    with _named(f"{DECISION} of run {run.run_id}"):
        value = records.json(run, DECISION)
        if value is None:
            return
        about = {"verdict": value["verdict"], "summary": value["summary"]}
        decision = graph.node("decision", fingerprint(value), about)
    graph.link(node, decision, "decided")
    if model is not None:
        graph.link(decision, model, "decided")
    with _named(f"{GATE_INPUTS} of run {run.run_id}"):
        inputs = records.json(run, GATE_INPUTS)
        for field_name, role in (("report", "report"), ("champion_report", "champion")):
            if inputs is not None and inputs[field_name] is not None:
                graph.link(_report(graph, inputs[field_name]), decision, role)


class _named:
    """Turns what goes wrong in reading a record into an error that names it."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (KeyError, TypeError, AttributeError, ValueError, OSError)):
            got = f"{type(error).__name__}: {error}"[:300]
            fix = "worldmodel audit verify says whether it is the one that was signed"
            raise RecordError(f"{self.where} is not what its name says", got=got, fix=fix) from error
