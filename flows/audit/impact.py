"""Question 3: which models saw some data, or some weights; in which split, by what way, and when they served.

What a model saw is what its run's stages read, through teachers and reconstructions, and what it was measured on. That
a champion was compared with a model passes on nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evaluation.base import Record
from flows.audit.books import Books
from flows.audit.champion import spans
from flows.audit.clips import PreparedClips, clips_of, only
from flows.audit.making import PREPARE, statement_of
from flows.audit.ways import Way, ways_to_models
from flows.ledger.entry import Entry
from flows.ledger.standing import Recall, recalled, registered
from flows.lineage.graph import PART
from flows.lineage.index import Node
from flows.lineage.records import MANIFEST, stage_record
from worldmodel.data.manifest import SPLITS
from worldmodel.errors import RecordError

if TYPE_CHECKING:
    import pyarrow

KINDS = ("source", "log", "clip", "shard", "output", "weights")
_COLUMN = {"log": "log_id", "clip": "clip_id"}


class Span(Record):
    """From when until when a version was champion; null: it still is."""

    name: str
    version: str
    since: str
    until: str | None


class Affected(Record):
    """A model that saw it.

    Attributes:
        versions: what the model is registered as, `NAME/VERSION`; empty where it was never registered.
        splits: how many of the clips were in which split of the data that it goes back to; empty for weights.
        way: the shortest way from it to the model, step by step in words.
        champion: whether it serves at the books' time; `served`: when it did.
    """

    model_sha256: str
    versions: tuple[str, ...]
    splits: dict[str, int]
    way: tuple[str, ...]
    champion: bool
    served: tuple[Span, ...]


class In(Record):
    """A prepared output that holds it, with the number of its clips by split."""

    output: str
    splits: dict[str, int]


class Impact(Record):
    """The answer; `at` is the time that it is about, None: now. `recalls` are of it, or of logs and clips in it."""

    at: str | None
    kind: str
    key: str
    recalls: tuple[Recall, ...]
    prepared: tuple[In, ...]
    models: tuple[Affected, ...]


@dataclass(frozen=True)
class Held:
    """What one prepared output holds of some data: rows of the clips' table, and clip ids by split."""

    node: Node
    rows: "pyarrow.Table"
    by_split: dict[str, set[str]]


def impact(books: Books, what: str) -> Impact:
    """Which models saw `what`: a log, clip, shard, source (its name will do), or the digest of an output or weights.

    Raises:
        RecordError: nothing or more than one thing is called that; a record is gone or was altered.
    """
    node, entries = find_data(books, what), books.entries()
    held = holding(books, node)
    starts = [(one.node, one.by_split) for one in held] or _starts(books, node)
    ways: dict[str, list[tuple[int, Way]]] = {}
    for number, (start, by_split) in enumerate(starts):
        measured = bool(by_split) and "train" not in by_split  # training read none of it
        for model, way in ways_to_models(books, start, measured=measured).items():
            ways.setdefault(model, []).append((number, way))
    versions, served = _versions(entries), _served(entries)
    unions: dict[tuple[int, ...], dict[str, int]] = {}
    models = []
    for model, found in ways.items():
        behind = tuple(number for number, _ in found)
        if behind not in unions:
            unions[behind] = _sizes(*(starts[number][1] for number in behind))
        spans = served.get(model, ())
        models.append(
            Affected(
                model_sha256=model,
                versions=versions.get(model, ()),
                splits=unions[behind],
                way=_shortest(node, [(starts[number][1], way) for number, way in found]),
                champion=any(span.until is None for span in spans),
                served=spans,
            )
        )
    return Impact(
        at=books.at,
        kind=node.kind,
        key=node.key,
        recalls=tuple(_recalls(entries, node, held)),
        prepared=tuple(In(output=one.node.key, splits=_sizes(one.by_split)) for one in held),
        models=tuple(sorted(models, key=lambda one: (not one.champion, not one.served, one.versions))),
    )


def find_data(books: Books, what: str, kinds: tuple[str, ...] = KINDS) -> Node:
    """The node that `what` stands for, of these kinds; a source may be called by its name alone.

    Raises:
        RecordError: there is none, or there are several.
    """
    try:
        return books.index.resolve(f"{what}@", ("source",))
    except RecordError as error:
        if not error.what.startswith("nothing"):  # several versions of one source
            raise
    try:
        return books.index.resolve(what, kinds)
    except RecordError as unknown:
        if "weights" not in kinds:
            raise
        try:
            return books.index.resolve(what, ("network",))  # weights that no recorded run made
        except RecordError:
            raise unknown from None


def _starts(books: Books, node: Node) -> list[tuple[Node, dict[str, set[str]]]]:
    """Where walks begin that no prepared output is on: weights went on with the output that they are in, too."""
    outputs = books.index.edges_into(node, ("file",)) if node.kind == "weights" else []
    return [(node, {}), *((edge.src, {}) for edge in outputs if books.holds(edge.since))]


def holding(books: Books, node: Node) -> list[Held]:
    """Every prepared output that holds some of a source, log, clip or shard, or is that output; with what it holds.

    Raises:
        RecordError: the clips of one of them are gone, or were altered.
    """
    found = []
    for output in _may_hold(books, node):
        rows = _rows(books, clips_of(books, output.key), node)
        by_split: dict[str, set[str]] = {}
        for clip, split in zip(rows["clip_id"].to_pylist(), rows["split"].to_pylist(), strict=True):
            by_split.setdefault(split, set()).add(clip)
        if by_split:
            found.append(Held(output, rows, by_split))
    return found


def _may_hold(books: Books, node: Node) -> list[Node]:
    """Outputs of `prepare` to look into: of a log, all that hold its source."""
    index = books.index
    if node.kind == "output":
        return [node] if node.attrs.get("stage") == PREPARE else []
    if node.kind in ("source", "log"):
        sources = [node] if node.kind == "source" else [edge.src for edge in index.edges_into(node, ("contains",))]
        edges = [edge for source in sources for edge in index.edges_from(source, ("source",))]
    else:
        edges = index.edges_from(node, ("part", *SPLITS))
    return list({edge.dst.key: edge.dst for edge in edges if books.holds(edge.since)}.values())


def _rows(books: Books, clips: PreparedClips, node: Node) -> "pyarrow.Table":
    if node.kind == "output":
        return clips.table
    if node.kind == "source":
        return only(clips.table, "source", [node.key.rpartition("@")[0]])
    if node.kind == "shard":  # one shard may have other names in other outputs
        files = books.records.json(statement_of(books, clips.run_id), stage_record(PREPARE, MANIFEST))["files"]
        names = [PurePosixPath(name).name for name, file in files.items() if file["sha256"] == node.key]
        return only(clips.table, "shard", names)
    return only(clips.table, _COLUMN[node.kind], [node.key])


def _shortest(node: Node, ways: list[tuple[dict[str, set[str]], Way]]) -> tuple[str, ...]:
    """The shortest way in words, of those through training where there are any; each comes with its clips by split."""
    by_split, way = min(ways, key=lambda one: (bool(one[0]) and "train" not in one[0], len(one[1].edges)))
    return _words(node, way, by_split)


def _words(node: Node, way: Way, splits: Collection[str]) -> tuple[str, ...]:
    """A way, step by step, as people would say it."""
    name, at, digest = node.key.rpartition("@") if node.kind == "source" else ("", "", node.key)
    said = [f"{node.kind} {name}{at}{digest[:16] if len(digest) == 64 else digest}"]
    if splits and node != way.start:
        said.append(f"{'+'.join(split for split in SPLITS if split in splits)} of prepare {way.start.key[:16]}")
    for edge in way.edges:
        if edge.dst.kind == "output":
            said.append(str(edge.dst.attrs.get("stage", "output")))
        elif edge.role.startswith(PART):
            said.append(f"part {edge.role.removeprefix(PART)}")
        elif edge.dst.kind != "model":
            said.append(edge.dst.kind)
    return tuple(said)


def _sizes(*outputs: dict[str, set[str]]) -> dict[str, int]:
    """How many different clips are in each split, over outputs."""
    found = {split: set[str]().union(*(output.get(split, ()) for output in outputs)) for split in SPLITS}
    return {split: len(clips) for split, clips in found.items() if clips}


def _versions(entries: list[Entry]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for (name, version), body in registered(entries).items():
        found[body.model_sha256] = (*found.get(body.model_sha256, ()), f"{name}/{version}")
    return found


def _served(entries: list[Entry]) -> dict[str, tuple[Span, ...]]:
    """When each model was champion, by its digest."""
    found: dict[str, tuple[Span, ...]] = {}
    for name in sorted({name for name, _ in registered(entries)}):
        for standing, until in spans(entries, name):
            span = Span(name=name, version=standing.version, since=standing.since, until=until)
            found[standing.model_sha256] = (*found.get(standing.model_sha256, ()), span)
    return found


def _recalls(entries: Iterable[Entry], node: Node, held: list[Held]) -> list[Recall]:
    """The recalls of it, of the log that it is in, and of logs and clips in it."""
    found = recalled(entries)
    if not found:
        return []
    ids = {("log", node.key), ("clip", node.key)}
    for one in held:
        ids |= {("log", log) for log in one.rows["log_id"].unique().to_pylist()}
        ids |= {("clip", clip) for clips in one.by_split.values() for clip in clips}
    return [recall for key, recall in found.items() if key in ids]
