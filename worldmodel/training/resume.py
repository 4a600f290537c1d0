"""Training states on disk: written aside and renamed, named by step and content digest, the newest two kept.

A state is plain containers and tensors, so it loads with `weights_only=True`. The digest in the name makes a cut or
damaged file known before it is unpickled; the older state is then used.
"""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

KEEP = 2


def save_state(directory: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes the state after `step` steps and drops all but the newest two."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = directory / f"step-{step:08d}-{_digest(data)}.pt"
    aside = directory / f".{path.name}.{os.getpid()}"
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    for old in _newest_first(directory)[KEEP:]:
        old.unlink()
    return path


def load_state(directory: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest intact state, or None. Says which files it passed over, and removes them."""
    for path in _newest_first(directory):
        data = path.read_bytes()
        if _digest(data) == path.stem.rsplit("-", 1)[1]:
            state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
            return state
        say(f"{path} is corrupt: its contents differ from the digest in its name; going on from the state before it")
        path.unlink()
    return None


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*.pt"), reverse=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
