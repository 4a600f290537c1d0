"""Runs whose driver was stopped while it closed them, or lost the ledger then: what was left to do is done.

A run is closed in three steps: its statement is signed and kept, the ledger names the statement, its git ref holds the
statement and a head. Whoever stops in between leaves what nobody can rely on. The next run takes the missing steps.
"""

from dataclasses import dataclass
from pathlib import Path

from flows.git import git
from flows.ledger.anchors import HEAD_NAME, signed_head
from flows.ledger.bodies import KIND_OF, RunRecorded
from flows.ledger.reading import bodies
from flows.ledger.store import Ledger
from flows.ledger.trust import keys_of
from flows.lineage.recorder import run_recorded, signed_files
from flows.lineage.records import LOCK, RECORDS_FOLDER, Records, RunStatement
from flows.process import is_alive
from flows.runs import Runs
from flows.signing.dsse import envelope_bytes, verify
from flows.signing.keys import SigningKey
from flows.workspace import RUN_REFS, Snapshot, record
from worldmodel.errors import RecordError, SigningError, WorkspaceError

_LOCK = "settle"


def settle(checkout: Path, state: Path, ledger: Ledger, key: SigningKey) -> list[str]:
    """Enters in the ledger, and puts on their refs, the statements of runs that were stopped in between.

    Only those of drivers of this state directory that are gone, signed by a key that the ledger trusts as a runner's
    now; the others are for `worldmodel audit verify` to name. `key` signs the ledger's head.

    Returns:
        The runs that are recorded now, by id.

    Raises:
        LedgerError, WorkspaceError: the ledger or git does not answer.
    """
    settling = _Settling(checkout, state, ledger, key)
    if not settling.left():
        return []
    with ledger.lock(_LOCK):
        return [run_id for run_id in sorted(settling.left()) if settling.settle(run_id)]


@dataclass
class _Settling:
    checkout: Path
    state: Path
    ledger: Ledger
    key: SigningKey

    def __post_init__(self) -> None:
        self.records = Records(self.state / RECORDS_FOLDER)
        self.entered: dict[str, RunRecorded] = {}
        self.tips: dict[str, str] = {}

    def left(self) -> set[str]:
        """Runs with a statement, and without an entry or without a ref that holds it."""
        recorded = bodies(self.ledger.entries(kinds=(KIND_OF[RunRecorded],)), RunRecorded)
        self.entered = {body.run_id: body for _, body in recorded}
        lines = git(self.checkout, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", RUN_REFS).splitlines()
        self.tips = {run_id: commit for run_id, _, commit in (line.partition(" ") for line in lines)}
        bare = {run_id for run_id, body in self.entered.items() if self.tips.get(run_id) == body.snapshot}
        stated = set(self.records.run_ids())
        return stated - set(self.entered) | stated & bare

    def settle(self, run_id: str) -> bool:
        """Takes the missing steps of a run; False where it is at work, or its records do not hold."""
        try:
            begun = Runs(self.state).find(run_id)
            run = self.records.run(run_id)
            keyid = self._signer(run)
            files = signed_files(self.records, run)
            if (lock := self.records.text(run, LOCK)) is not None:
                files[LOCK] = lock.encode()
        except (RecordError, SigningError, WorkspaceError):  # what is wrong with it is for `audit verify` to say
            return False
        entered = self.entered.get(run_id)
        if is_alive(begun.pid, begun.started_at) or run.facts.run_id != run_id:
            return False
        if entered is None:
            self.ledger.append(run_recorded(run.facts, run.sha256, keyid), run.facts.actor)
        elif entered.statement_sha256 != run.sha256:
            return False
        if self.tips.get(run_id) == run.facts.snapshot:
            files[HEAD_NAME] = envelope_bytes(signed_head(self.ledger, self.key))
            snapshot = Snapshot(run.facts.snapshot, run.facts.tree, run.facts.dirty)
            begun.commit = record(self.checkout, run_id, snapshot, files)
            Runs(self.state).save(begun)
        return True

    def _signer(self, run: RunStatement) -> str:
        """The id of the runner's key that signed a statement. Raises SigningError where none did."""
        keys = {keyid: key.public for keyid, key in keys_of(self.ledger).items() if key.may("runner")}
        return verify(run.envelope, keys, f"run {run.run_id}").keyid
