"""Git: every run's ref is there, holds what was recorded, and sits on the snapshot that was stated.

Objects are hashed again here: `git cat-file` itself does not.
"""

import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.audit.verify.entries import Tombstones
from flows.audit.verify.runs import Run
from flows.audit.verify.tally import Tally, shown
from flows.ledger.anchors import HEAD_NAME
from flows.lineage.recorder import STAGE_PATH, STATEMENT_PATH
from flows.lineage.records import LOCK, PARAMS, RECALLS, SOURCES, STATEMENT, stage_record
from flows.workspace import RUN_REFS
from worldmodel.errors import WorkspaceError

_AT_ONCE = 2000


@dataclass(frozen=True)
class GitObject:
    """An object as git gives it; `intact` says that its bytes have the id it is known by."""

    oid: str
    kind: str
    content: bytes

    @property
    def intact(self) -> bool:
        """Whether the bytes are what the id says."""
        algorithm = hashlib.sha1 if len(self.oid) == 40 else hashlib.sha256
        return algorithm(b"%b %d\0%b" % (self.kind.encode(), len(self.content), self.content)).hexdigest() == self.oid

    def field(self, name: str) -> str:
        """The first value of a header line of a commit (`tree`, `parent`); empty where there is none."""
        lines = self.content.split(b"\n\n", 1)[0].decode(errors="replace").splitlines()
        return next((line.partition(" ")[2] for line in lines if line.startswith(f"{name} ")), "")


def check_refs(checkout: Path, runs: list[Run], gone: Tombstones, tally: Tally) -> None:
    """The refs of runs: commit, snapshot, and the files that the platform put there."""
    kept = [run for run in runs if not gone.cover(_ref(run))]
    wanted = {run.statement.run_id: _wanted(run) for run in kept}
    names = [f"{_ref(run)}{path}" for run in kept for path in ("^{commit}", *(f":{p}" for p in wanted[_id(run)]))]
    names += [f"{run.statement.facts.snapshot}^{{commit}}" for run in kept]
    found = tally.attempt("git/unreadable", "git", _read, checkout, names)
    if found is None:
        return
    for run in kept:
        tally.attempt("git/unreadable", _ref(run), _check_ref, run, wanted[_id(run)], found, tally)


def check_code(checkout: Path, runs: list[Run], tally: Tally) -> None:
    """The objects of every snapshot's tree: each has the bytes that its id says."""
    trees = list(dict.fromkeys(run.statement.facts.tree for run in runs))
    listed = tally.attempt("git/unreadable", "git", _listed, checkout, trees)
    for start in range(0, len(listed or ()), _AT_ONCE):
        part = (listed or [])[start : start + _AT_ONCE]
        objects = tally.attempt("git/unreadable", "git", _read, checkout, part)
        for oid, item in (objects or {}).items():
            tally.count += 1
            if item is None:
                tally.found("git/missing", f"git object {shown(oid)}", "an object of a recorded snapshot is gone")
            elif not item.intact:
                tally.found("git/altered", f"git object {shown(oid)}", f"a {item.kind} with other bytes than its id")


def _id(run: Run) -> str:
    return run.statement.run_id


def _ref(run: Run) -> str:
    return f"{RUN_REFS}/{run.statement.run_id}"


def _wanted(run: Run) -> dict[str, str | None]:
    """sha256 by path in the run's commit; None: it only has to be there, and is checked elsewhere."""
    files = run.statement.files
    wanted: dict[str, str | None] = {name: files[name] for name in (LOCK, PARAMS, SOURCES, RECALLS) if name in files}
    wanted |= {STAGE_PATH.format(stage=stage): files[stage_record(stage, STATEMENT)] for stage in run.statement.stages}
    return wanted | {STATEMENT_PATH: run.statement.sha256, HEAD_NAME: None}


def _check_ref(run: Run, wanted: dict[str, str | None], found: dict[str, GitObject | None], tally: Tally) -> None:
    ref, facts = _ref(run), run.statement.facts
    tip, snapshot = found[f"{ref}^{{commit}}"], found[f"{facts.snapshot}^{{commit}}"]
    tally.count += 1
    if tip is None:
        tally.found("git/no-ref", ref, f"the ref of {run.where} is gone")
        return
    if snapshot is None:
        tally.found("git/missing", ref, f"the snapshot {shown(facts.snapshot)} of {run.where} is gone")
        return
    for commit in (tip, snapshot):
        if not commit.intact:
            tally.found("git/altered", ref, f"commit {shown(commit.oid)} has other bytes than its id")
    parent = tip.field("parent") if tip.oid != snapshot.oid else tip.oid
    tally.same("git/other-snapshot", ref, "the snapshot below its tip", facts.snapshot, parent)
    tally.same("git/other-snapshot", ref, "the tree of the snapshot", facts.tree, snapshot.field("tree"))
    for path, sha256 in wanted.items():
        item = found[f"{ref}:{path}"]
        if item is None:
            tally.found("git/missing", f"{ref}: {path}", "the ref does not hold this file")
        elif sha256 is not None:
            got = hashlib.sha256(item.content).hexdigest()
            tally.same("git/changed", f"{ref}: {path}", "sha256 of the file", sha256, got)


def _listed(checkout: Path, trees: list[str]) -> list[str]:
    """The ids of all objects of some trees, each once."""
    if not trees:
        return []
    output = _git(checkout, ["rev-list", "--objects", "--no-object-names", "--stdin"], trees)
    return list(dict.fromkeys(output.decode().split()))


def _read(checkout: Path, names: Iterable[str]) -> dict[str, GitObject | None]:
    """Objects by name, None for those that are not there; names hold no white space.

    Raises:
        WorkspaceError: git failed.
    """
    asked = list(dict.fromkeys(names))
    output = memoryview(_git(checkout, ["cat-file", "--batch"], asked))
    found: dict[str, GitObject | None] = {}
    for name in asked:
        end = bytes(output[:8192]).find(b"\n")
        words = bytes(output[:end]).decode(errors="replace").split(" ")
        output = output[end + 1 :]
        if len(words) != 3 or not words[2].isdigit():
            found[name] = None
            continue
        size = int(words[2])
        found[name] = GitObject(words[0], words[1], bytes(output[:size]))
        output = output[size + 1 :]
    return found


def _git(checkout: Path, arguments: list[str], lines: list[str]) -> bytes:
    if broken := [line for line in lines if "\n" in line]:
        raise WorkspaceError(f"not the name of a git object: {broken[0]!r}")
    command = ["git", "-C", str(checkout), "--no-replace-objects", *arguments]
    result = subprocess.run(command, input="".join(f"{line}\n" for line in lines).encode(), capture_output=True)
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip()[-300:]
        raise WorkspaceError(f"git {arguments[0]} failed in {checkout}", got=said)
    return result.stdout
