"""The manifest of a stage's output: every file with its sha256, written last.

A directory without a manifest is unfinished. The manifest holds only what the files determine (no inputs, times or
hosts): a stage that runs again and makes the same bytes leaves the stages behind it untouched. What went in is in
`dvc.lock`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from worldmodel.errors import DataError

MANIFEST_FILE = "manifest.json"
SCHEMA_VERSION = "worldmodel.manifest/1"


def canonical_json(value: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(directory: Path, stage: str) -> dict[str, Any]:
    """Describes every file under `directory` in its `manifest.json`; returns what was written."""
    files = {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST_FILE
    }
    manifest = {"schema_version": SCHEMA_VERSION, "stage": stage, "files": files, "digest": digest(files)}
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return manifest


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a finished output.

    Raises:
        DataError: there is none, or it is of another schema.
    """
    path = directory / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: {'missing' if isinstance(error, FileNotFoundError) else 'not valid JSON'}",
            expected="the manifest that a finished stage writes last",
            fix="run the stage again: worldmodel run --force " + directory.name,
        ) from None
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path}: unknown schema", expected=SCHEMA_VERSION, got=str(manifest.get("schema_version")))
    return dict(manifest)
