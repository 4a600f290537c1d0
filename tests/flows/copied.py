"""A history for a test to change: a copy of one that was made once, without its workspaces."""

import shutil
from dataclasses import replace
from pathlib import Path

from flows.ledger.store import Ledger, ledger_url
from flows.lineage.records import Records
from tests.flows.history import History


def copied(made: History, root: Path) -> History:
    """`made` below `root`; close its ledger in the end. The index is not copied: it is derived."""
    made.ledger.close()  # SQLite writes all into one file
    leave_out = shutil.ignore_patterns("workspaces", "lineage.db*")
    shutil.copytree(made.root, root / "checkout", ignore=leave_out)
    shutil.copytree(made.key_path.parent, root / "keys")
    checkout, state = root / "checkout", root / "checkout" / ".worldmodel"
    return replace(
        made,
        root=checkout,
        state=state,
        key_path=root / "keys" / made.key_path.name,
        records=Records(state / "records"),
        ledger=Ledger.open(ledger_url(state)),
        runs=list(made.runs),
        reports=dict(made.reports),
        after=list(made.after),
    )
