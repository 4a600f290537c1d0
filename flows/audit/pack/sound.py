"""What is said of a model is said of records that hold, or not at all."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from flows.audit.books import Books
from flows.audit.verify.state import evidence_of
from flows.audit.verify.walk import verify
from flows.ledger.anchors import Anchor
from flows.ledger.entry import Entry
from worldmodel.errors import RecordError, WorkspaceError

_TOLD = 20


def require_sound(
    books: Books, runs: Iterable[str], entries: Sequence[Entry], anchors: Sequence[Anchor], *, quick: bool = False
) -> int:
    """Verifies the ledger, and all that is recorded of some runs; returns how many things were checked.

    Args:
        books: whose.
        runs: by id.
        entries: of the whole ledger.
        anchors: signed heads, none of them newer than the entries.
        quick: without the bytes of outputs and of code.

    Raises:
        RecordError: something does not hold; the findings are in the error.
        WorkspaceError: there is no checkout, or git failed.
    """
    if books.checkout is None:
        raise WorkspaceError("signed heads are in git refs, and there is no checkout", fix="cd into your clone")
    found, chosen = evidence_of(books.checkout, books.state, books.ledger), frozenset(runs)
    places = tuple(place for place in found.workspaces if chosen.intersection(place.run_ids))
    asked = replace(found, entries=entries, anchors=anchors, runs=chosen, workspaces=places, cache=None, notes=())
    verdict = verify(asked, (str((entries[0].body or {}).get("keyid")),), quick=quick)
    if not verdict.holds:
        told = "\n".join(f"{one.what} {one.where}: {one.sentence}" for one in verdict.findings[:_TOLD])
        more = len(verdict.findings) - _TOLD
        raise RecordError(
            f"nothing is exported: the records do not hold ({len(verdict.findings)} findings)",
            expected="records as they were signed",
            got=told + (f"\nand {more} more" if more > 0 else ""),
            fix="worldmodel audit verify",
        )
    return sum(one.count for one in verdict.checked)
