"""Workspaces: of runs, and of measurements of registered versions (`flows.bench`)."""

import json
import re
from pathlib import Path
from typing import Any

from flows.judging import EVALUATIONS, REPORT_FILE
from flows.manifest import MANIFEST_FILE, digest, file_sha256
from flows.retention import disk
from flows.retention.rule import Item, Kind, Tally
from flows.retention.view import View
from flows.workspace import is_locked

_KEY = re.compile(r"[0-9a-f]{16}")
_BENCH_FILE = "data/bench.json"


def plan_workspaces(view: View, tally: Tally) -> list[Path]:
    """Which workspaces go; returns those that stay."""
    staying = []
    for path in disk.folders(view.place.state, "workspaces"):
        why, lock = _why_it_stays(view, path)
        if why:
            staying.append(path)
            tally.stays("workspace", why, disk.size(path))
            _plan_outputs(view, path, tally)
        else:
            tally.goes(_item(view, "workspace", path, _why_it_goes(view, path), lock))
    return staying


def _why_it_stays(view: View, path: Path) -> tuple[str, str]:
    """Why a workspace stays, empty if it goes, and the lock that a driver at work there holds."""
    state, lock = view.place.state, path.name
    if not _KEY.fullmatch(path.name) or not (path / ".git").is_file():
        return "not a workspace of this platform", lock
    identity = _identity(path)
    if identity is not None:
        lock = f"evaluation-{digest(identity)[:16]}"
    if any(_is_held(state, name) for name in {lock, path.name}):
        return "at work", lock
    if identity is not None:
        is_finished = (state / EVALUATIONS / digest(identity)[:16] / REPORT_FILE).is_file()
        is_of_kept = str(identity.get("tree", ""))[:16] in view.kept_keys
        return ("a measurement on a kept run's data that can go on" if is_of_kept and not is_finished else ""), lock
    if path.name in view.kept_keys:
        return "of a kept run", lock
    if view.is_young(disk.changed(path)) and not any(run.key == path.name for run in view.known):
        return "younger than an hour", lock
    return "", lock


def _why_it_goes(view: View, path: Path) -> str:
    if (path / _BENCH_FILE).is_file():
        return "of a measurement that is done, or of no kept run"
    if any(run.key == path.name for run in view.known):
        return "of runs that are not kept"
    return "no run is known to have worked there"


def _plan_outputs(view: View, path: Path, tally: Tally) -> None:
    """In a workspace that stays: outputs that recalled data went into, unless its model serves."""
    runs = [run for run in view.known if run.key == path.name]
    manifests = view.tainted.manifests(run.run_id for run in runs)
    if not manifests or _is_held(view.place.state, path.name):
        return
    if any(run.run_id in view.kept.serving or run.at_work for run in runs):
        return
    for output in disk.folders(view.place.state, "workspaces", path.name, "artifacts"):
        manifest = output / MANIFEST_FILE
        if manifest.is_file() and file_sha256(manifest) in manifests:
            tally.goes(_item(view, "output", output, "recalled data went into it", path.name))


def _identity(path: Path) -> dict[str, Any] | None:
    """What is measured in a workspace; None in that of a run."""
    file = path / _BENCH_FILE
    return dict(json.loads(file.read_text())) if file.is_file() else None


def _is_held(state: Path, name: str) -> bool:
    """Whether somebody holds a lock; makes no file."""
    return (state / "workspaces" / f"{name}.lock").is_file() and is_locked(state, name)


def _item(view: View, kind: Kind, path: Path, why: str, lock: str) -> Item:
    return Item(
        kind=kind,
        path=path.relative_to(view.place.state).as_posix(),
        bytes=disk.size(path),
        changed=disk.changed(path),
        why=why,
        lock=f"workspaces/{lock}.lock",
    )
