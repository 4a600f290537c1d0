"""Runs: the statement that the ledger names, who signed it, and every record that it names."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from flows import dvc_yaml
from flows.audit.verify.entries import Told, Tombstones
from flows.audit.verify.evidence import Evidence
from flows.audit.verify.keyring import Keyring, Signers, opened
from flows.audit.verify.tally import Tally, shown
from flows.ledger.bodies import RunRecorded
from flows.lineage.records import Records, RunStatement

_RUN_ID, _DIGEST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*"), re.compile(r"[0-9a-f]{64}")
_FACTS = ("run_id", "status", "snapshot", "dirty", "model", "model_sha256", "decision_sha256", "verdict")


@dataclass(frozen=True)
class Run:
    """A run whose statement is the one that the ledger names, signed by a runner of that time."""

    statement: RunStatement
    signers: Signers

    @property
    def where(self) -> str:
        """The run in people's words."""
        return f"run {self.statement.run_id}"


class Shelf:
    """The records of runs, each checked once. What is broken or left out is None to everybody after the check."""

    def __init__(self, records: Records, absent: frozenset[str]) -> None:
        """`absent`: digests of records that are not here on purpose."""
        self._records, self._absent = records, absent
        self._whole: dict[str, bool] = {}
        self._parsed = lru_cache(maxsize=512)(self._parse)
        self._loaded = lru_cache(maxsize=64)(self._load)

    def check(self, run: RunStatement, name: str, tally: Tally) -> None:
        """Reads a record once, however many runs name it."""
        sha256, where = run.files[name], f"run {run.run_id}: {name}"
        if sha256 in self._whole or sha256 in self._absent:
            return
        tally.count += 1
        self._whole[sha256] = False
        code = "record/altered" if self._records.path(sha256).is_file() else "record/missing"
        if tally.attempt(code, where, self._records.get, sha256, name) is not None:
            self._whole[sha256] = True

    def bytes(self, run: RunStatement, name: str) -> bytes | None:
        """A record that is whole; None where the run has none of that name, or none that is whole."""
        sha256 = run.files.get(name, "")
        return self._records.path(sha256).read_bytes() if self._whole.get(sha256) else None

    def json(self, run: RunStatement, name: str) -> Any:
        """A record as JSON; None as for `bytes`. Raises ValueError where it is no JSON. Nobody may change it."""
        sha256 = run.files.get(name, "")
        return self._parsed(sha256) if self._whole.get(sha256) else None

    def yaml(self, run: RunStatement, name: str) -> Any:
        """A record as YAML, else as `json`."""
        sha256 = run.files.get(name, "")
        return self._loaded(sha256) if self._whole.get(sha256) else None

    def broken(self, run: RunStatement, name: str) -> bool:
        """Whether a record that the run names is damaged or left out, so that nothing follows from its absence."""
        sha256 = run.files.get(name, "")
        return sha256 in self._absent or self._whole.get(sha256) is False

    def _parse(self, sha256: str) -> Any:
        return json.loads(self._records.path(sha256).read_bytes())

    def _load(self, sha256: str) -> Any:
        content = self._records.path(sha256).read_bytes()
        try:
            return dvc_yaml.load(content)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from None


def check_runs(evidence: Evidence, told: list[Told], ring: Keyring, gone: Tombstones, tally: Tally) -> list[Run]:
    """The runs whose statement holds; those that only the ledger or only the records know are findings."""
    last = _last_entries(told, tally)
    wanted = {run_id: one for run_id, one in last.items() if evidence.runs is None or run_id in evidence.runs}
    for run_id in sorted((evidence.runs or frozenset()) - set(last)):
        tally.found("run/unrecorded", f"run {run_id}", "the ledger has no entry of this run")
    for run_id in _statements(evidence.records, tally):
        if run_id in evidence.at_work:
            tally.note(f"run {run_id}", "still at work")
        elif run_id not in last and run_id not in (evidence.runs or ()):
            tally.found("run/unrecorded", f"run {run_id}", "there is a statement, but the ledger has no entry of it")
    found = []
    for run_id, one in wanted.items():
        if gone.cover(f"records/runs/{run_id}.json"):
            continue
        run = _check(evidence.records, one, ring, tally)
        if run is not None:
            found.append(run)
    return found


def check_records(runs: list[Run], shelf: Shelf, tally: Tally) -> None:
    """Every record that a run's statement names is there, with its digest."""
    for run in runs:
        for name in sorted(run.statement.files):
            shelf.check(run.statement, name, tally)


def _last_entries(told: list[Told], tally: Tally) -> dict[str, Told]:
    """The entry of every run; a run that was closed twice has two, of which the later counts."""
    last: dict[str, Told] = {}
    for one in told:
        if isinstance(one.body, RunRecorded):
            before = last[one.body.run_id].body if one.body.run_id in last else None
            if isinstance(before, RunRecorded) and before.keyid != one.body.keyid:
                sentence = f"closed by key {shown(before.keyid)}, and again by another, {shown(one.body.keyid)}"
                tally.found("run/other-key", f"run {one.body.run_id}", sentence)
            elif before is not None:
                tally.note(one.where, f"run {one.body.run_id} was closed again; its statement is the later one")
            last[one.body.run_id] = one
    return last


def _statements(records: Records, tally: Tally) -> list[str]:
    found = tally.attempt("run/unreadable", str(records.folder), records.run_ids)
    return found or []


def _check(records: Records, one: Told, ring: Keyring, tally: Tally) -> Run | None:
    body = one.body
    assert isinstance(body, RunRecorded)
    where = f"run {body.run_id}"
    if not _RUN_ID.fullmatch(body.run_id):
        tally.found("run/unreadable", one.where, f"{shown(body.run_id)}: not the name of a run")
        return None
    if not records.run_path(body.run_id).is_file():
        tally.count += 1
        tally.found("run/no-statement", where, f"{one.where} names a statement that is gone")
        return None
    statement = tally.attempt("run/unreadable", where, _read, records, body.run_id)
    if statement is None:
        return None
    signers = ring.at(one.entry.sequence, "runner")
    held = tally.same("run/replaced", where, "sha256 of its statement", body.statement_sha256, statement.sha256)
    payload = opened(statement.envelope, signers, where, tally)
    if payload is None or not held:
        return None
    _check_facts(statement, body, where, tally)
    return Run(statement, signers)


def _read(records: Records, run_id: str) -> RunStatement:
    """A run's statement, which names its records by digests. Raises what `Records.run` does, and ValueError."""
    statement = records.run(run_id)
    for name, sha256 in statement.files.items():
        if not isinstance(name, str) or not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
            raise ValueError(f"{name!r} is not named by a sha256: {sha256!r}")
    return statement


def _check_facts(statement: RunStatement, body: RunRecorded, where: str, tally: Tally) -> None:
    """The ledger says of a run what its statement says, and names the key that signed it."""
    facts: Mapping[str, object] = statement.facts.model_dump()
    for name in _FACTS:
        tally.same(
            "run/changed", where, f"{name}, as its statement and the ledger have it", facts[name], vars(body)[name]
        )
    signed_by = [str(signature["keyid"]) for signature in statement.envelope["signatures"]]
    if body.keyid not in signed_by:
        tally.same("run/changed", where, "the key that signed", body.keyid, ", ".join(map(shown, signed_by)))


def read_run(run: Run, shelf: Shelf, name: str, tally: Tally) -> Any:
    """A JSON record of a run; None, and a finding, where it is not there at all or is no JSON."""
    if name not in run.statement.files:
        tally.found("record/missing", f"{run.where}: {name}", "its statement names no such record")
        return None
    return tally.attempt("record/unreadable", f"{run.where}: {name}", shelf.json, run.statement, name)
