"""The code of a run, as git's objects prove it: the snapshot's commit, and every tree below it as one listing.

A commit's id is the hash of its text, which names its tree; a tree's id is the hash of its entries. So a listing proves
the name, mode and id of every file of the snapshot that a run's statement names, without git and without the files. A
file's content is checked against its id by `git hash-object FILE`.
"""

import hashlib
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from flows.audit.finding import Finding
from flows.lineage.records import PARAMS, RECALLS, SOURCES, Records, RunStatement
from worldmodel.errors import WorkspaceError

COMMIT_NAME, TREE_NAME = "commit.txt", "tree.txt"
_OF_THE_SNAPSHOT = (PARAMS, SOURCES, RECALLS)
_TREE_MODE = "040000"


def code_files(checkout: Path, run: RunStatement) -> dict[str, bytes]:
    """The commit's text and the listing of its tree.

    Raises:
        WorkspaceError: git does not have the snapshot any more.
    """
    commit = _git(checkout, "cat-file", "commit", run.facts.snapshot)
    listing = _git(checkout, "ls-tree", "-r", "-t", "-z", "--full-tree", run.facts.tree)
    if b"\n" in listing:
        raise WorkspaceError(f"{run.facts.snapshot}: a file's name holds a line break", fix="rename the file")
    return {COMMIT_NAME: commit, TREE_NAME: listing.replace(b"\0", b"\n")}


def _git(checkout: Path, *arguments: str) -> bytes:
    result = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True)
    if result.returncode:
        got = result.stderr.decode(errors="replace").strip()
        fix = "git fetch origin 'refs/worldmodel/*:refs/worldmodel/*'"
        raise WorkspaceError(f"git does not have the snapshot of the run: {arguments[-1]}", got=got, fix=fix)
    return result.stdout


def check_code(files: Mapping[str, bytes], run: RunStatement, records: Records) -> list[Finding]:
    """Whether commit and tree are those of the run's statement, and its params and sources those of the tree."""
    where, facts = f"code of run {run.run_id}", run.facts
    commit, listing = files[COMMIT_NAME], files[TREE_NAME]
    if _object_id("commit", commit, facts.snapshot) != facts.snapshot:
        return [_finding("code/commit", where, f"the commit is not {facts.snapshot}")]
    if not commit.startswith(f"tree {facts.tree}\n".encode()):
        return [_finding("code/commit", where, f"the commit is not of the tree {facts.tree}")]
    try:
        ids = _listed(listing)
        wrong = _wrong_trees(ids, facts.tree)
    except ValueError as error:
        return [_finding("code/tree", where, f"not a listing of git's: {error}")]
    if wrong is not None:
        return [_finding("code/tree", where, f"the listing of {wrong or 'the snapshot'} is not that of its tree")]
    return [
        _finding("code/differs", where, f"{name} of the run is not that of its snapshot")
        for name in _OF_THE_SNAPSHOT
        if name in run.files and ids.get(name, ("", ""))[1] != _blob_id(records, run, name)
    ]


def _blob_id(records: Records, run: RunStatement, name: str) -> str:
    return _object_id("blob", records.get(run.files[name], name), run.facts.tree)


def _object_id(kind: str, content: bytes, like: str) -> str:
    """The id that git gives an object: SHA-1, or SHA-256 where the repository's ids are of that length."""
    algorithm = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return algorithm(b"%s %d\0" % (kind.encode(), len(content)) + content).hexdigest()


def _listed(listing: bytes) -> dict[str, tuple[str, str]]:
    """Mode and id by path."""
    found = {}
    for line in listing.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        facts, tab, path = line.partition("\t")
        mode, _, object_id = facts.split(" ")
        if not tab:
            raise ValueError(f"{line[:60]!r}")
        found[path] = (mode, object_id)
    return found


def _wrong_trees(ids: Mapping[str, tuple[str, str]], root: str) -> str | None:
    """The path of a tree whose entries are not those that its id stands for; the root's is empty. None: all hold."""
    children: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for path, (mode, object_id) in ids.items():
        parent, _, name = path.rpartition("/")
        children[parent].append((name, mode, object_id))
    trees = {"": root} | {path: object_id for path, (mode, object_id) in ids.items() if mode == _TREE_MODE}
    if unknown := set(children) - set(trees):
        return min(unknown)
    return next((path for path, tree in trees.items() if _tree_id(children[path], root) != tree), None)


def _tree_id(entries: list[tuple[str, str, str]], like: str) -> str:
    rows = sorted(entries, key=lambda e: _name_bytes(e[0]) + (b"/" if e[1] == _TREE_MODE else b""))
    content = b"".join(
        b"%s %s\0%s" % (mode.lstrip("0").encode(), _name_bytes(name), bytes.fromhex(object_id))
        for name, mode, object_id in rows
    )
    return _object_id("tree", content, like)


def _name_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _finding(code: str, where: str, sentence: str) -> Finding:
    return Finding(what=code, where=where, sentence=sentence)
