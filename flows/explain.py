"""Why a stage ran: its lock entry against the one of the run before, dep by dep and param by param."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.pipeline import lock_entries
from flows.runs import RunRecord, Runs
from flows.tracking import flatten

_ABSENT = object()


def explain(runs: Runs, record: RunRecord) -> dict[str, list[str]]:
    """Per stage of a run, what changed since the newest earlier run that has the stage; `first run` where none has."""
    now = lock_entries(_lock(runs, record))
    earlier = [r for r in runs.newest_first() if r.run_id < record.run_id]
    reasons = {}
    for stage in record.stages:
        before = next((e for r in earlier if (e := lock_entries(_lock(runs, r)).get(stage))), None)
        reasons[stage] = _changes(before, now.get(stage, {})) if before else ["first run of this stage"]
    return reasons


def _lock(runs: Runs, record: RunRecord) -> Path:
    return runs.folder(record.run_id) / "dvc.lock"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes = [] if before.get("cmd") == now.get("cmd") else [f"command: {before.get('cmd')} -> {now.get('cmd')}"]
    old, new = _hashes(before), _hashes(now)
    changes += [
        f"dep {path}: {_verb(old, new, path)}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    old, new = (
        flatten(before.get("params", {}).get("params.yaml", {})),
        flatten(now.get("params", {}).get("params.yaml", {})),
    )
    for key in sorted(old.keys() | new.keys()):
        if old.get(key, _ABSENT) != new.get(key, _ABSENT):
            changes.append(f"param {key}: {old.get(key, '(none)')} -> {new.get(key, '(none)')}")
    return changes


def _hashes(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}


def _verb(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> str:
    if path not in old:
        return "added"
    return "removed" if path not in new else "changed"
