"""What a stage is made from, as one digest: the key of its resume state."""

import os
from pathlib import Path

import yaml

from flows.manifest import MANIFEST_FILE, digest, file_sha256
from flows.params import PARAMS_FILE, read_params


def resume_directory(root: Path, name: str) -> Path:
    """Where the stage keeps what it needs to go on: `<state>/resume/<digest of its inputs>/`."""
    state = Path(os.environ.get("WORLDMODEL_STATE") or root / ".worldmodel")
    return state / "resume" / f"{name}-{input_digest(root, name)[:16]}"


def input_digest(root: Path, name: str) -> str:
    """sha256 over what `dvc.yaml` names as the stage's command, deps and params, with the deps' contents.

    Outputs of earlier stages count by their manifest, which names the sha256 of every file in them.
    """
    entry = yaml.safe_load((root / "dvc.yaml").read_text())["stages"][name]
    params = read_params(root / PARAMS_FILE)
    deps = {dep: _dep_digest(root / dep) for dep in entry.get("deps", [])}
    return digest({"cmd": entry["cmd"], "deps": deps, "params": {key: params.get(key) for key in entry["params"]}})


def _dep_digest(path: Path) -> str:
    if path.is_file():
        return file_sha256(path)
    if (path / MANIFEST_FILE).is_file():
        return file_sha256(path / MANIFEST_FILE)
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    return digest({file.relative_to(path).as_posix(): file_sha256(file) for file in files})
