"""The walk from a public key to the last byte: each step relies on the one before.

Root of trust, signed heads, chain, entries, runs, records, stages, results, promotions; then what they speak of: git,
files on disk, registry.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from flows.audit.verify import entries as ledger
from flows.audit.verify.disk import Disk, check_cache, check_workspace
from flows.audit.verify.evidence import Checked, Evidence, Verdict
from flows.audit.verify.gitrefs import check_code, check_refs
from flows.audit.verify.keyring import Keyring, check_keys
from flows.audit.verify.policies import Policies
from flows.audit.verify.promotions import Known, check_promotions
from flows.audit.verify.registry import check_registry
from flows.audit.verify.results import Decided, check_results
from flows.audit.verify.runs import Run, Shelf, check_records, check_runs
from flows.audit.verify.stages import check_stages
from flows.audit.verify.tally import Tally
from flows.ledger.chain import check_chain
from flows.ledger.entry import Entry
from flows.signing.keys import PublicKey


def verify(
    evidence: Evidence, roots: tuple[str, ...], *, quick: bool = False, keys: Sequence[PublicKey] = ()
) -> Verdict:
    """What holds of the evidence, and what does not.

    Args:
        evidence: a state directory's or a pack's.
        roots: ids of the public keys that may stand at the beginning; known by another way than the evidence.
        quick: leaves out what has to read all data: the bytes of outputs, caches and code, and the registry.
        keys: the roots' public keys, where they are at hand: with them, heads tell that a ledger was lost.
    """
    return _Walk(evidence, quick, {key.keyid: key for key in keys if key.keyid in roots}).go(roots)


class _Walk:
    def __init__(self, evidence: Evidence, quick: bool, keys: Mapping[str, PublicKey]) -> None:
        self.evidence, self.quick, self.keys = evidence, quick, keys
        self.anchors = list(evidence.anchors)
        self.verdict = Verdict(notes=list(evidence.notes))

    def go(self, roots: tuple[str, ...]) -> Verdict:
        with self._step("entries of the ledger") as tally:
            entries = ledger.read_entries(self.evidence, tally)
        if not entries and not tally.findings and self.anchors:
            with self._step("signed heads") as tally:
                ledger.check_lost(self.anchors, self.keys, tally)
            return self.verdict
        told, ring = self._ledger(entries, roots)
        gone = ledger.tombstones(told)
        runs, shelf = self._records(told, ring, gone)
        with self._step("reports, decisions, models") as tally:
            decided = check_results(runs, shelf, tally)
        with self._step("approvals and promotions") as tally:
            known = self._known(told, runs, shelf, decided, ledger.check_approvals(told, ring, tally))
            check_promotions(told, known, tally)
        self._places(runs, told, Disk(shelf, gone, self.evidence.state))
        return self.verdict

    def _ledger(self, entries: list[Entry], roots: tuple[str, ...]) -> tuple[list[ledger.Told], Keyring]:
        with self._step("trusted keys") as tally:
            ring = check_keys(entries, roots, tally)
        with self._step("signed heads") as tally:
            heads = ledger.check_heads(self.anchors, ring, tally)
        with self._step("links of the chain") as tally:
            chain = tally.attempt("ledger/unreadable", "ledger", check_chain, entries, heads, self.evidence.ledger_id)
            tally.findings += chain or []
            tally.count = len(entries)
        with self._step("what entries say") as tally:
            told = ledger.read_bodies(entries, self.evidence.runs is None, tally)
            ledger.tell(told, tally)
        return told, ring

    def _records(self, told: list[ledger.Told], ring: Keyring, gone: ledger.Tombstones) -> tuple[list[Run], Shelf]:
        shelf = Shelf(self.evidence.records, self.evidence.left_out | frozenset(gone.digests))
        with self._step("statements of runs") as tally:
            runs = check_runs(self.evidence, told, ring, gone, tally)
        with self._step("records") as tally:
            check_records(runs, shelf, tally)
        with self._step("statements of stages") as tally:
            check_stages(runs, shelf, tally)
        return runs, shelf

    def _known(
        self, told: list[ledger.Told], runs: list[Run], shelf: Shelf, decided: dict[str, Decided], approvals: set[int]
    ) -> Known:
        return Known(
            decided=decided,
            approvals=approvals,
            policies=Policies(told, runs, shelf),
            complete=self.evidence.runs is None,
            runs={run.statement.run_id: run.statement.facts for run in runs},
        )

    def _places(self, runs: list[Run], told: list[ledger.Told], disk: Disk) -> None:
        evidence, by_id = self.evidence, {run.statement.run_id: run for run in runs}
        if evidence.checkout is not None:
            with self._step("files in git refs") as tally:
                ended = [run for run in runs if run.statement.run_id not in evidence.at_work]
                check_refs(evidence.checkout, ended, disk.gone, tally)
        if self.quick:
            return
        if evidence.checkout is not None:
            with self._step("git objects of the code") as tally:
                check_code(evidence.checkout, runs, tally)
        if evidence.workspaces:
            with self._step("files of workspaces") as tally:
                for place in evidence.workspaces:
                    check_workspace(place, by_id, disk, tally)
        if evidence.cache is not None:
            with self._step("objects of DVC's cache") as tally:
                check_cache(evidence.cache, tally)
        if evidence.registry is not None:
            with self._step("registered versions") as tally:
                check_registry(evidence.registry, told, tally)

    @contextmanager
    def _step(self, what: str) -> Iterator[Tally]:
        tally, started = Tally(what), time.perf_counter()
        yield tally
        seconds = time.perf_counter() - started
        found = Checked(what=what, count=tally.count, findings=len(tally.findings), seconds=round(seconds, 3))
        self.verdict.checked.append(found)
        self.verdict.findings += tally.findings
        self.verdict.notes += tally.notes
