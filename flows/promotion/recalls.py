"""Whether a model has seen data that are recalled now: what it was flagged for, and what its lineage says."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flows.ledger.entry import Entry
from flows.ledger.standing import recalled, standing_flags
from flows.lineage.records import Records
from worldmodel.errors import LedgerError, RecordError, SigningError

SeenRecalled = Callable[[Sequence[Entry], str], list[str]]


def flagged(entries: Sequence[Entry], model_sha256: str) -> list[str]:
    """What a model was flagged for as champion and is recalled still, in words."""
    return sorted(flag.recalled for flag in standing_flags(entries).get(model_sha256, []))


def by_lineage(state: Path, records: Records) -> SeenRecalled:
    """Asks the lineage index as well, which it opens and brings up to date only where something is recalled at all.

    A model of which the index cannot tell may have seen anything, and is taken to have.
    """

    def seen(entries: Sequence[Entry], model_sha256: str) -> list[str]:
        from flows.lineage.index import Index, index_url

        standing = recalled(entries)
        if not standing:
            return []
        try:
            with Index.open(index_url(state)) as index:
                index.catch_up(records)
                closure = index.ancestors(index.resolve(model_sha256, kinds=("model",)))
        except (LedgerError, RecordError, SigningError) as error:
            return [f"nobody knows what: {error.what}"]
        found = [f"{what} {id}" for what, id in standing if id in closure.keys(what)]
        return sorted({*found, *flagged(entries, model_sha256)})

    return seen
