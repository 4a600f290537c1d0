"""Logs and clips that may not be used any more: data/recalls.json, which travels with a run and `prepare` obeys.

The file holds sorted ids and nothing else: why, when and by whom is in the ledger. So two runs under the same recalls
are of the same bytes. An id of a source that the run does not use is another run's business.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from worldmodel.errors import DataError

RECALLS_VERSION = 1
_EXPECTED = '{"version": 1, "logs": [ID, ...], "clips": [ID, ...]}'


@dataclass(frozen=True)
class Recalls:
    """Ids of recalled logs, and of clips that are recalled one by one."""

    logs: frozenset[str] = frozenset()
    clips: frozenset[str] = frozenset()


def recalls_json(recalls: Recalls) -> str:
    """The text of recalls.json: one spelling for one set of ids."""
    content = {"version": RECALLS_VERSION, "logs": sorted(recalls.logs), "clips": sorted(recalls.clips)}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def read_recalls(path: Path) -> Recalls:
    """Reads recalls.json.

    Raises:
        DataError: it cannot be read, is of another version, or lacks a field; names the file and what is wrong.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        fix = "start stages with `worldmodel run`, which writes it"
        raise DataError(f"{path} cannot be read", expected=_EXPECTED, got=str(error), fix=fix) from error
    if not isinstance(content, dict) or set(content) != {"version", "logs", "clips"}:
        got = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{path}: other fields", expected=_EXPECTED, got=got)
    if content["version"] != RECALLS_VERSION:
        raise DataError(f"{path}: another version", expected=str(RECALLS_VERSION), got=str(content["version"]))
    return Recalls(_ids(path, "logs", content["logs"]), _ids(path, "clips", content["clips"]))


def _ids(path: Path, field: str, value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DataError(f"{path}: {field} is no list of ids", expected=_EXPECTED, got=repr(value)[:80])
    return frozenset(value)
