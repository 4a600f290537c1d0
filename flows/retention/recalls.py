"""What recalled data went into: prepared outputs that hold it, and every output that was made from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flows.ledger.entry import Entry
from flows.ledger.standing import recalled
from flows.lineage.index import Index, Node, index_url
from flows.lineage.records import MANIFEST, Records, RunStatement, stage_record
from flows.retention.rule import Place
from flows.signing.dsse import unverified
from flows.signing.statements import read_stage_statement
from worldmodel.errors import RecordError

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Output:
    """An output that recalled data went into: sha256 of its manifest, and its names in DVC's cache."""

    manifest: str
    objects: frozenset[str]


@dataclass(frozen=True)
class Tainted:
    """Outputs that recalled data went into, by the run whose making of them that was.

    Another run may have made the same bytes from other data: of that run they are not listed.
    """

    runs: dict[str, tuple[Output, ...]] = field(default_factory=dict)

    def manifests(self, run_ids: Iterable[str]) -> set[str]:
        """The manifests of such outputs of some runs."""
        return {output.manifest for run_id in run_ids for output in self.runs.get(run_id, ())}

    def objects(self, run_ids: Iterable[str]) -> set[str]:
        """The names in the cache of such outputs of some runs, listings not opened."""
        return {name for run_id in run_ids for output in self.runs.get(run_id, ()) for name in output.objects}


def tainted(place: Place, entries: list[Entry]) -> Tainted:
    """Follows every recalled log and clip through the lineage index, which catches up first.

    Raises:
        LedgerError: the index does not answer.
        RecordError, SigningError: a record is gone or altered.
    """
    standing = recalled(entries)
    if not standing:
        return Tainted()
    with Index.open(index_url(place.state)) as index:
        index.catch_up(place.records)
        prepared = {node.key: node for what, id in standing for node in _prepared(index, what, id)}
        suspects = set(prepared)
        for node in prepared.values():
            suspects |= set(index.descendants(node, None, ("output",)).keys("output"))
        found = {}
        for run_id in place.records.run_ids():
            run = place.records.run(run_id)
            outputs = tuple(_outputs(place.records, index, run, (suspects, set(prepared))))
            if outputs:
                found[run_id] = outputs
    return Tainted(found)


def _outputs(records: Records, index: Index, run: RunStatement, known: tuple[set[str], set[str]]) -> Iterator[Output]:
    """The outputs of a run that its own making ties to prepared outputs with recalled data.

    Args:
        records, index: where the run is.
        run: which.
        known: outputs that are tied to some in any run, and the prepared ones.
    """
    suspects, prepared = known
    for stage in run.stages:
        manifest = run.files.get(stage_record(stage, MANIFEST), "")
        if manifest not in suspects:
            continue
        node = index.resolve(manifest, ("output",))
        if manifest in prepared or prepared & set(index.ancestors(node, run=run.run_id).keys("output")):
            where = f"the statement of {stage} in run {run.run_id}"
            facts = read_stage_statement(unverified(records.envelope(run, stage), where), where)
            yield Output(manifest, frozenset(str(out["md5"]) for out in facts.lock.get("outs", []) if "md5" in out))


def _prepared(index: Index, what: str, id: str) -> list[Node]:
    """The prepared outputs that hold a log or clip; none where no recorded run has seen it."""
    try:
        node = index.resolve(id, (what,))
    except RecordError:
        return []
    if node.key != id:
        return []  # the start of another's id
    clips = [edge.dst for edge in index.edges_from(node, ("contains",))] if what == "log" else [node]
    return [edge.dst for clip in clips for edge in index.edges_from(clip, _SPLITS)]
