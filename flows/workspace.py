"""Where a run works: a snapshot of the checkout, and a detached worktree of it.

A snapshot is the checkout as it stands, untracked files included, with the profile as `params.yaml` and the data's
digests as `data/sources.json`; it becomes a commit on a ref of the platform's own and leaves branch, index and files
alone. A workspace's key is the snapshot's tree, never its commit: the same inputs find the same workspace, which is how
a killed run goes on.
"""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from flows.git import git
from worldmodel.data.recalls import Recalls, recalls_json
from worldmodel.errors import WorkspaceError

RUN_REFS = "refs/worldmodel/runs"
SOURCES_FILE, RECALLS_FILE = "data/sources.json", "data/recalls.json"
NO_RECALLS = recalls_json(Recalls())
_KEY_LENGTH = 16


@dataclass(frozen=True)
class Snapshot:
    """The state of a checkout as git objects.

    Attributes:
        commit: child of the checkout's HEAD.
        tree: what the key is made of.
        dirty: whether the checkout differed from its HEAD.
    """

    commit: str
    tree: str
    dirty: bool

    @property
    def key(self) -> str:
        """Names the workspace."""
        return self.tree[:_KEY_LENGTH]


def take_snapshot(checkout: Path, params: str, sources: str, recalls: str = NO_RECALLS) -> Snapshot:
    """Commits the checkout as it stands, with `params`, `sources` and `recalls` as the texts of the files a run adds.

    Raises:
        WorkspaceError: the checkout has no commit yet, or git failed.
    """
    head = git(checkout, "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory() as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        real_index = checkout / git(checkout, "rev-parse", "--git-path", "index")
        if real_index.is_file():  # its stat cache spares hashing every file again
            shutil.copyfile(real_index, env["GIT_INDEX_FILE"])
        git(checkout, "add", "--all", env=env)
        git(checkout, "rm", "--cached", "--quiet", "--ignore-unmatch", "dvc.lock", env=env)  # each run has its own
        dirty = git(checkout, "write-tree", env=env) != git(checkout, "rev-parse", "HEAD^{tree}")
        for path, text in (("params.yaml", params), (SOURCES_FILE, sources), (RECALLS_FILE, recalls)):
            blob = git(checkout, "hash-object", "-w", "--stdin", stdin=text)
            git(checkout, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
        tree = git(checkout, "write-tree", env=env)
    message = "Snapshot of a dirty checkout" if dirty else "Snapshot"
    return Snapshot(git(checkout, "commit-tree", tree, "-p", head, "-m", message), tree, dirty)


def record(checkout: Path, run_id: str, snapshot: Snapshot, files: Mapping[str, bytes] | None = None) -> str:
    """Puts the snapshot on the run's ref, and on top of it what the run left: `dvc.lock`, records; returns the commit.

    Args:
        checkout: whose repository.
        run_id: names the ref.
        snapshot: what the run is made from.
        files: UTF-8 texts by their path in the commit; it holds the snapshot's files as well.
    """
    commit = snapshot.commit
    if files:
        with tempfile.TemporaryDirectory() as scratch:
            env = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            git(checkout, "read-tree", snapshot.tree, env=env)
            blobs = {
                path: git(checkout, "hash-object", "-w", "--stdin", stdin=text.decode()) for path, text in files.items()
            }
            lines = "".join(f"100644 {blob}\t{path}\n" for path, blob in blobs.items())
            git(checkout, "update-index", "--add", "--index-info", env=env, stdin=lines)
            tree = git(checkout, "write-tree", env=env)
        commit = git(checkout, "commit-tree", tree, "-p", commit, "-m", f"Records of run {run_id}")
    git(checkout, "update-ref", f"{RUN_REFS}/{run_id}", commit)
    return commit


def open_workspace(checkout: Path, state: Path, snapshot: Snapshot) -> Path:
    """The worktree of a snapshot: made if need be, and brought back to the snapshot if somebody edited it.

    Outputs, `dvc.lock` and DVC's own files stay. Call it under `workspace_lock`.
    """
    path = state / "workspaces" / snapshot.key
    ready = path.with_name(f"{path.name}.ready")
    if not (ready.exists() and (path / ".git").exists()):
        _make_worktree(checkout, path, snapshot)
        ready.touch()
    git(path, "reset", "--hard", "--quiet", snapshot.commit)
    git(path, "clean", "-fdq", "--exclude=dvc.lock")
    _configure_dvc(path, state)
    return path


def _make_worktree(checkout: Path, path: Path, snapshot: Snapshot) -> None:
    if path.exists():  # a start that was killed half-way
        shutil.rmtree(path)
    git(checkout, "worktree", "prune")
    path.parent.mkdir(parents=True, exist_ok=True)
    git(checkout, "worktree", "add", "--force", "--detach", "--quiet", str(path), snapshot.commit)


def _configure_dvc(workspace: Path, state: Path) -> None:
    """One cache for all workspaces; reflinks where the file system has them, else copies."""
    text = f'[cache]\n    dir = {state / "cache"}\n    type = "reflink,copy"\n'
    local = workspace / ".dvc" / "config.local"
    if not local.is_file() or local.read_text() != text:
        local.write_text(text)


@contextlib.contextmanager
def workspace_lock(state: Path, key: str) -> Iterator[None]:
    """Holds a workspace for one driver; the kernel lets go when the process ends, however it ends.

    Raises:
        BlockingIOError: another driver holds it.
    """
    with _open_lock(state, key) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def is_locked(state: Path, key: str) -> bool:
    """Whether a driver is at work in the workspace."""
    with _open_lock(state, key) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _open_lock(state: Path, key: str) -> TextIO:
    path = state / "workspaces" / f"{key}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a")


def require_space(path: Path, mebibytes: int) -> None:
    """Refuses to start on a disk that is all but full.

    Raises:
        WorkspaceError: with what is free and what is needed.
    """
    free = shutil.disk_usage(path).free // 2**20
    if free < mebibytes:
        raise WorkspaceError(
            f"{path}: too little disk space",
            expected=f"{mebibytes} MiB or more",
            got=f"{free} MiB free",
            fix="free some space, or point WORLDMODEL_STATE at another disk",
        )
