"""Git as a subprocess: the few plumbing commands that snapshots and workspaces need."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from worldmodel.errors import WorkspaceError

_IDENTITY = {
    "GIT_AUTHOR_NAME": "worldmodel run",
    "GIT_AUTHOR_EMAIL": "run@worldmodel.invalid",
    "GIT_COMMITTER_NAME": "worldmodel run",
    "GIT_COMMITTER_EMAIL": "run@worldmodel.invalid",
}


def git(where: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """The stripped output of `git -C where ...`.

    Raises:
        WorkspaceError: git is missing or the command failed, with git's own message.
    """
    command = ["git", "-C", str(where), *arguments]
    try:
        result = subprocess.run(
            command, input=stdin, capture_output=True, text=True, env={**os.environ, **_IDENTITY, **(env or {})}
        )
    except FileNotFoundError:
        raise WorkspaceError("git is not installed", fix="install git, then run again") from None
    if result.returncode:
        raise WorkspaceError(
            f"git {' '.join(arguments[:2])} failed in {where}",
            got=result.stderr.strip() or f"exit code {result.returncode}",
            fix="run it by hand to see more",
        )
    return result.stdout.strip()


def is_ignored(checkout: Path, path: Path) -> bool:
    """Whether git ignores a path in the checkout, be it there or not."""
    command = ["git", "-C", str(checkout), "check-ignore", "--quiet", f"{path.relative_to(checkout)}/"]
    return subprocess.run(command).returncode == 0


def find_checkout(start: Path) -> Path:
    """The top folder of the checkout around `start`, which holds the pipeline.

    Raises:
        WorkspaceError: `start` is in no git checkout, or in one without `dvc.yaml`.
    """
    top = Path(git(start, "rev-parse", "--show-toplevel"))
    if not (top / "dvc.yaml").is_file():
        raise WorkspaceError(f"{top}: no dvc.yaml", expected="a worldmodel checkout", fix="cd into your clone")
    return top
