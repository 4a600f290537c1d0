"""Taking a log or a clip out of use: recorded in the ledger, obeyed by the next `prepare`, told to whom it concerns.

Whoever saw the data is found in the lineage index: every model that a prepared dataset with one of the clips went into,
through teachers, reconstructions and rendered priors too. Nothing is deleted and no model is withdrawn: a champion that
saw the data is flagged, and a retraining is proposed.
"""

import shlex
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import takewhile
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluation.base import Record
from flows.ledger.bodies import ChampionFlagged, DataRecalled, DataReinstated, RetrainingProposed
from flows.ledger.entry import Kind
from flows.ledger.standing import Recall, champions, recalled, registered
from flows.workspace import RECALLS_FILE
from worldmodel.data.recalls import Recalls, recalls_json
from worldmodel.errors import RecordError

if TYPE_CHECKING:
    from flows.audit.books import Books
    from flows.ledger.store import Ledger
    from flows.lineage.index import Node

__all__ = ["RECALLS_FILE", "recalls_text"]
What = Literal["log", "clip"]
SPLITS = ("train", "val", "test")
_KINDS: tuple[Kind, Kind] = ("data.recalled", "data.reinstated")
RECALL_LOCK, _NEAR = "recalls", 5


class Affected(Record):
    """A registered version that saw recalled data.

    Attributes:
        splits: clips by the split that they were in, of all datasets that went into the model.
        champion: whether it serves now.
        retrain: the command that trains it anew, sources by name; None where the records of its run are gone.
    """

    name: str
    version: str
    model_sha256: str
    splits: dict[str, int]
    champion: bool
    run_id: str
    retrain: str | None = None

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class RecallOutcome(Record):
    """What a recall or a reinstatement came to.

    Attributes:
        changed: False: it stood so already, since `standing`, and nothing was recorded.
        affected: every registered version that saw the data.
        entries: sequence numbers of what was recorded.
    """

    what: What
    id: str
    changed: bool
    standing: Recall | None = None
    affected: tuple[Affected, ...] = ()
    entries: tuple[int, ...] = ()

    @property
    def flagged(self) -> tuple[Affected, ...]:
        """The champions among them."""
        return tuple(model for model in self.affected if model.champion)


def recalls_text(ledger: "Ledger") -> str:
    """The text of a run's data/recalls.json: what is recalled now, sorted; no reasons, times or actors."""
    standing = recalled(ledger.entries(kinds=_KINDS))
    ids = {kind: frozenset(name for what, name in standing if what == kind) for kind in ("log", "clip")}
    return recalls_json(Recalls(ids["log"], ids["clip"]))


def recall(books: "Books", what: What, id: str, reason: str, actor: str) -> RecallOutcome:
    """Records that a log or clip may not be used any more, and that champions have seen it: all of it, or nothing.

    It may be called for an id that the index does not know; `require_known` refuses those.

    Raises:
        LedgerError: the ledger cannot be written.
        RecordError: no reason is given.
    """
    _require_reason(reason)
    with books.ledger.lock(RECALL_LOCK):
        found = affected(books, what, id)
        standing = recalled(books.entries(*_KINDS)).get((what, id))
        if standing is not None:
            return RecallOutcome(what=what, id=id, changed=False, standing=standing, affected=found)
        bodies: list[Record] = [DataRecalled(what=what, id=id, reason=reason)]
        for model in found:
            bodies += _about(model, f"{what} {id}") if model.champion else []
        entries = books.ledger.append_all(bodies, actor)
    numbers = tuple(entry.sequence for entry in entries)
    return RecallOutcome(what=what, id=id, changed=True, affected=found, entries=numbers)


def reinstate(books: "Books", what: What, id: str, reason: str, actor: str) -> RecallOutcome:
    """Records that a recall is taken back; flags and proposals that it led to stay, as history.

    Raises:
        LedgerError: the ledger cannot be written.
        RecordError: no reason is given.
    """
    _require_reason(reason)
    with books.ledger.lock(RECALL_LOCK):
        standing = recalled(books.entries(*_KINDS)).get((what, id))
        if standing is None:
            return RecallOutcome(what=what, id=id, changed=False)
        entry = books.ledger.append(DataReinstated(what=what, id=id, reason=reason), actor)
    return RecallOutcome(what=what, id=id, changed=True, standing=standing, entries=(entry.sequence,))


def recalls(books: "Books") -> list[Recall]:
    """What is recalled at the books' time, oldest first."""
    return sorted(recalled(books.entries(*_KINDS)).values(), key=lambda found: found.sequence)


def require_known(books: "Books", what: What, id: str) -> None:
    """Refuses an id that no recorded dataset holds: a typing error would recall nothing.

    Raises:
        RecordError: names ids that are spelt alike, or says that it is one of the other kind.
    """
    if _node(books, what, id) is not None:
        return
    other: What = "clip" if what == "log" else "log"
    fix = f"if no dataset of this state directory had the {what}, say so: --unknown"
    if _node(books, other, id) is not None:
        fix = f"{id} is a {other}: {'add' if other == 'clip' else 'leave out'} --clip"
    near = get_close_matches(id, list(_known(books, what)), _NEAR)
    raise RecordError(f"no {what} {id} is known", expected=" or ".join(near) or f"the id of a {what}", got=id, fix=fix)


def affected(books: "Books", what: What, id: str) -> tuple[Affected, ...]:
    """The registered versions that saw a log or clip, by name and number; none for an unknown id."""
    seen = models_that_saw(books, what, id)
    entries = books.entries()
    serving = {(standing.name, standing.version) for standing in champions(entries).values()}
    return tuple(
        Affected(
            name=name,
            version=version,
            model_sha256=body.model_sha256,
            splits=seen[body.model_sha256],
            champion=(name, version) in serving,
            run_id=body.run_id,
            retrain=retraining(books, body.run_id),
        )
        for (name, version), body in sorted(registered(entries).items(), key=lambda item: _in_order(item[0]))
        if body.model_sha256 in seen
    )


def models_that_saw(books: "Books", what: What, id: str) -> dict[str, dict[str, int]]:
    """By sha256 of a model's bundle: how many of the clips were in which split of a dataset that went into it."""
    node = _node(books, what, id)
    if node is None:
        return {}
    clips = [node]
    if what == "log":
        clips = [e.dst for e in books.index.edges_from(node, ("contains",)) if books.holds(e.since)]
    datasets: dict[str, tuple[Node, dict[str, set[str]]]] = {}
    for clip in clips:
        for edge in books.index.edges_from(clip, SPLITS):
            if books.holds(edge.since):
                _, by_split = datasets.setdefault(edge.dst.key, (edge.dst, {}))
                by_split.setdefault(edge.role, set()).add(clip.key)
    models: dict[str, dict[str, set[str]]] = {}
    for dataset, by_split in datasets.values():
        for sha256 in books.index.descendants(dataset, books.at, ("model",)).keys("model"):
            for split, keys in by_split.items():
                models.setdefault(sha256, {}).setdefault(split, set()).update(keys)
    return {sha256: _counts(by_split) for sha256, by_split in models.items()}


def retraining(books: "Books", run_id: str, paths: Mapping[str, Path] | None = None) -> str | None:
    """The command that makes a run again with what is recalled left out; None where the run's records are gone.

    Args:
        books: with the records of the run.
        run_id: the run that made the model.
        paths: where recorded sources lie, by digest; without, they are named and not located.
    """
    from flows.lineage.records import SOURCES

    if not books.records.run_path(run_id).is_file():
        return None
    run = books.records.run(run_id)
    sources = (books.records.json(run, SOURCES) or {"sources": []})["sources"]
    words = ["worldmodel", "run", "--profile", run.facts.profile]
    for source in sources:
        place = (paths or {}).get(source["digest"] or "", source["name"])
        words += ["--data", source["adapter"] if source["digest"] is None else f"{source['adapter']}:{place}"]
    return shlex.join(words)


def _about(model: Affected, recalled: str) -> list[Record]:
    flag = ChampionFlagged(
        name=model.name,
        version=model.version,
        model_sha256=model.model_sha256,
        recalled=recalled,
        splits=model.splits,
    )
    because = f"{model} has seen {recalled}, which is recalled"
    command = model.retrain or "worldmodel run"
    return [flag, RetrainingProposed(name=model.name, because=because, command=command)]


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise RecordError("a reason is needed", expected="why, in a few words", fix="--reason TEXT")


def _node(books: "Books", what: What, id: str) -> "Node | None":
    """The node of exactly this id: the start of one would recall more than was said."""
    try:
        found = books.index.resolve(id, (what,))
    except RecordError:
        return None
    return found if found.key == id else None


def _known(books: "Books", what: What) -> Iterator[str]:
    """Every id of a kind; the index's dump begins with its nodes."""
    for line in takewhile(lambda line: line.startswith('["node"'), books.index.dump()):
        _, kind, key, *_ = loads(line)
        if kind == what:
            yield key


def _counts(by_split: Mapping[str, set[str]]) -> dict[str, int]:
    return {split: len(by_split[split]) for split in SPLITS if split in by_split}


def _in_order(key: tuple[str, str]) -> tuple[str, int, str]:
    name, version = key
    return name, int(version) if version.isdigit() else 0, version
