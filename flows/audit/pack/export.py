"""Making a pack: verify what goes in, then write it in one spelling. The same ledger and refs give the same bytes."""

import re
from dataclasses import dataclass
from pathlib import Path

from evaluation.base import Record
from flows.audit.books import Books, ModelRef
from flows.audit.cards.model_card import model_card
from flows.audit.cards.schema import ModelCard
from flows.audit.cards.subject import subject_of
from flows.audit.pack.archive import SUFFIX, write_archive
from flows.audit.pack.contents import Material, pack_files, weight_files
from flows.audit.pack.scope import scope_of
from flows.audit.pack.seal import PackFacts, seal
from flows.audit.pack.sound import require_sound
from flows.ledger.anchors import read_anchors, signed_head
from flows.ledger.trust import ensure_trusted
from flows.manifest import file_sha256
from flows.signing.dsse import unverified
from flows.signing.keys import SigningKey
from flows.signing.statements import HEAD, HeadFacts, read_facts
from worldmodel.errors import WorkspaceError

_UNPLAIN = re.compile(r"[^A-Za-z0-9._+@=-]+|^[^A-Za-z0-9]+")


class Exported(Record):
    """A pack that was written: of what, where, how large, and what it holds."""

    name: str
    version: str
    model_sha256: str
    path: str
    sha256: str
    bytes: int
    files: int
    runs: tuple[str, ...]
    entries: int
    entries_without_body: int
    checked: int


@dataclass(frozen=True)
class Order:
    """What to write where.

    Attributes:
        model: which.
        key: signs the pack and the ledger's head; the ledger must trust it as a runner's.
        actor: who exports.
        out: the file, or a folder for it; None: the folder where we are.
        with_weights: whether the weights' files go in as well.
    """

    model: ModelRef
    key: SigningKey
    actor: str
    out: Path | None = None
    with_weights: bool = False


def export(books: Books, order: Order) -> Exported:
    """Writes the pack of a model, if all that it would say holds.

    Raises:
        RecordError: something does not hold (the findings are in the error), or a record is gone.
        SigningError: the ledger does not trust the key.
        WorkspaceError: there is no checkout, git lacks the snapshot, or the file cannot be written.
    """
    if books.checkout is None:
        raise WorkspaceError("signed heads are in git refs, and there is no checkout", fix="cd into your clone")
    ensure_trusted(books.ledger, order.key, order.actor)
    anchors = read_anchors(books.checkout)  # before the entries, so that none is newer than they are
    head = signed_head(books.ledger, order.key)
    at = read_facts(unverified(head, "head"), HeadFacts, HEAD, "head")
    entries = [entry for entry in books.ledger.entries() if entry.sequence <= at.sequence]
    subject = subject_of(books.records, entries, order.model.name, order.model.version)
    scope = scope_of(subject, anchors)
    checked = require_sound(books, scope.runs, entries, anchors)
    weights = weight_files(books.state, subject) if order.with_weights else {}
    return _written(Material(scope, head, order.key.keyid, books.checkout, weights), order, at, checked)


def sound_card(books: Books, model: ModelRef) -> ModelCard:
    """The card of a model as of the books' time, once the records that it is made from were verified.

    Raises:
        RecordError: something does not hold, or a record is gone.
    """
    anchors = [] if books.checkout is None else read_anchors(books.checkout)
    subject = subject_of(books.records, books.entries(), model.name, model.version)
    require_sound(books, subject.origins, list(books.ledger.entries()), anchors, quick=True)
    return model_card(subject)


def _written(material: Material, order: Order, at: HeadFacts, checked: int) -> Exported:
    scope, model = material.scope, material.scope.subject.model
    files = dict(pack_files(material))
    facts = PackFacts(
        name=model.name,
        version=model.version,
        model_sha256=model.model_sha256,
        run_id=scope.subject.made.run_id,
        runs=scope.runs,
        **at.model_dump(),
    )
    files |= seal(files, facts, order.key)
    top = f"{_UNPLAIN.sub('-', model.name).strip('-') or 'model'}-{model.version}-{model.model_sha256[:12]}"
    out = order.out or Path()
    path = out / f"{top}{SUFFIX}" if out.is_dir() else out
    write_archive(path, top, files)
    return Exported(
        name=model.name,
        version=model.version,
        model_sha256=model.model_sha256,
        path=str(path),
        sha256=file_sha256(path),
        bytes=path.stat().st_size,
        files=len(files),
        runs=scope.runs,
        entries=len(scope.subject.entries),
        entries_without_body=sum(entry.body is None for entry in material.entries),
        checked=checked,
    )
