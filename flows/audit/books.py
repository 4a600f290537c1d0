"""The books that an auditor's question is put to: ledger, records and lineage index, as they stood at some time.

Nothing is asked of MLflow, Prefect or a network. The index is derived, so it first catches up with the records.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluation.base import Record
from flows.ledger.bodies import ModelRegistered, RunRecorded
from flows.ledger.entry import Entry, Kind
from flows.ledger.standing import bodies, champions, registered
from flows.ledger.store import Ledger, ledger_url
from flows.lineage.index import Index, index_url
from flows.lineage.records import Records
from flows.stores import parse_time
from worldmodel.errors import RecordError

RECORDS_FOLDER = "records"
SHORTEST_PREFIX = 4
_SPEC = re.compile(r"(?P<name>[A-Za-z0-9_.-]+?)(?:/(?P<version>\d+)|@(?P<alias>[A-Za-z0-9_.-]+))?")
_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Books:
    """What questions are answered from.

    Attributes:
        checkout: for `git diff --stat` and file names; None: an answer does without.
        at: only what was recorded up to then counts, in the ledger's time text; None: everything.
    """

    checkout: Path | None
    state: Path
    records: Records
    ledger: Ledger
    index: Index
    at: str | None

    def entries(self, *kinds: Kind) -> list[Entry]:
        """The ledger's entries of these kinds (none given: of all) up to `at`, in order."""
        return list(self.ledger.entries(kinds=kinds, until=self.at))

    def holds(self, since: str) -> bool:
        """Whether something recorded at `since` counts."""
        return self.at is None or since <= self.at


class ModelRef(Record):
    """A registered version of a model; `model_sha256` is the digest of its bundle."""

    model_sha256: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


@contextmanager
def open_books(
    state: Path, checkout: Path | None = None, at: str | None = None, say: Callable[[str], None] = lambda text: None
) -> Iterator[Books]:
    """Opens the books of a state directory, and closes them.

    Args:
        state: where the platform keeps its own.
        checkout: the checkout around it, if there is one.
        at: a time in words (`flows.stores.parse_time`).
        say: told when the index has to catch up.

    Raises:
        ParamsError: `at` is not a time.
        RecordError: nothing was recorded yet.
        LedgerError: a store cannot be opened.
    """
    moment = None if at is None else parse_time(at)
    url = ledger_url(state)
    if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).is_file():
        raise _nothing_yet(state)  # asking would create it
    ledger = Ledger.open(url)
    try:
        if ledger.head() is None:
            raise _nothing_yet(state)
        records = Records(state / RECORDS_FOLDER)
        index = Index.open(index_url(state))
        try:
            if behind := index.behind(records):
                say(f"the lineage index is {len(behind)} runs behind the records: adding them")
                index.catch_up(records)
            yield Books(checkout, state, records, ledger, index, moment)
        finally:
            index.close()
    finally:
        ledger.close()


def find_model(books: Books, spec: str) -> ModelRef:
    """The version that `NAME` (its champion, else its newest version), `NAME/3`, `NAME@champion`, a digest of a model
    or of its weights (or the start of one), or a run stands for.

    Raises:
        RecordError: nothing or more than one thing is called that; says what there is.
    """
    entries = books.entries()
    known = registered(entries)
    match = _SPEC.fullmatch(spec)
    if match is not None and match["name"] in {name for name, _ in known}:
        return _by_name(entries, known, match)
    if match is not None and (match["version"] or match["alias"]):
        raise _unknown(books, spec, known)
    found = _by_digest(known, spec) if _DIGEST.fullmatch(spec) else []
    found = found or _by_run(books, known, spec)
    if not found:
        raise _unknown(books, spec, known)
    by_bundle = {ref.model_sha256: ref for ref in found}
    if len(by_bundle) > 1:
        names = ", ".join(f"{ref} {ref.model_sha256[:16]}" for ref in by_bundle.values())
        raise RecordError(f"{spec}: more than one model is meant", got=names, fix="give NAME/VERSION or more digits")
    return found[-1]


def names_model(books: Books, spec: str) -> bool:
    """Whether `spec` begins with the name of a registered model."""
    match = _SPEC.fullmatch(spec)
    return match is not None and match["name"] in {name for name, _ in registered(books.entries("model.registered"))}


def _by_name(entries: list[Entry], known: dict[tuple[str, str], ModelRegistered], match: re.Match[str]) -> ModelRef:
    name, version, alias = match["name"], match["version"], match["alias"]
    versions = sorted((version for of, version in known if of == name), key=_number)
    if alias not in (None, "champion"):
        raise RecordError(f"{match[0]}: no alias {alias} is recorded", expected=f"{name}@champion", got=alias)
    if version is None:
        standing = champions(entries).get(name)
        if standing is not None:
            return ModelRef(model_sha256=standing.model_sha256, name=name, version=standing.version)
        if alias is not None:
            raise RecordError(f"{match[0]}: {name} has no champion then", fix="worldmodel audit champion --history")
        version = versions[-1]
    if (name, version) not in known:
        raise RecordError(f"{match[0]}: no such version", expected=" or ".join(versions), got=version)
    return _ref(known[name, version])


def _by_digest(known: dict[tuple[str, str], ModelRegistered], prefix: str) -> list[ModelRef]:
    """Versions whose bundle begins so; else those with weights that do."""
    bundles = [body for body in known.values() if body.model_sha256.startswith(prefix)]
    weights = [body for body in known.values() if any(sha256.startswith(prefix) for sha256 in body.parts.values())]
    return [_ref(body) for body in bundles or weights]


def _by_run(books: Books, known: dict[tuple[str, str], ModelRegistered], run: str) -> list[ModelRef]:
    """The model that a run came to: registered by it, or by a run before with the same bundle."""
    if len(run) < SHORTEST_PREFIX:
        return []
    recorded = [body for _, body in bodies(books.entries("run.recorded"), RunRecorded)]
    meant = [body for body in recorded if body.run_id == run]
    meant = meant or [body for body in recorded if body.run_id.startswith(run) or body.run_id.endswith(run)]
    models = {body.model_sha256 for body in meant}
    if models == {None}:
        got = ", ".join(f"{body.run_id} ({body.status})" for body in meant[:5])
        raise RecordError(f"{run}: that run registered no model", got=got)
    return [_ref(body) for body in known.values() if body.model_sha256 in models]


def _ref(body: ModelRegistered) -> ModelRef:
    return ModelRef(model_sha256=body.model_sha256, name=body.name, version=body.version)


def _number(version: str) -> tuple[int, str]:
    return (int(version) if version.isdigit() else 0, version)


def _nothing_yet(state: Path) -> RecordError:
    return RecordError(f"{state}: nothing is recorded yet", expected="a ledger", fix="worldmodel run")


def _unknown(books: Books, spec: str, known: dict[tuple[str, str], ModelRegistered]) -> RecordError:
    names = " or ".join(sorted({name for name, _ in known})) or f"no model was registered {_until(books)}"
    return RecordError(
        f"{spec}: no model, version, run or digest is called that",
        expected=names,
        got=spec,
        fix="NAME, NAME/VERSION, NAME@champion, a run, or the start of a digest: worldmodel audit champion --history",
    )


def _until(books: Books) -> str:
    return "yet" if books.at is None else f"until {books.at}"
