"""What the gate wants to know beside the reports, gathered from a run's workspace; what cannot be established is null.

Speed is measured once for a model on a machine by a snapshot of code and params, in a process of its own, and kept in
`<state>/performance/`.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from evaluation.base import canonical_json, fingerprint
from evaluation.evidence import (
    Evidence,
    Manifests,
    Performance,
    PreparedData,
    Splits,
    Validation,
    clips_digest,
)
from evaluation.report import Report
from flows.checks.verdict import require_fit
from flows.manifest import MANIFEST_FILE, file_sha256, read_manifest
from flows.speed import processor
from worldmodel.data.atomic import atomic_file
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import read_sources
from worldmodel.errors import DataError, StageError, UnfitDataError

PERFORMANCE_FOLDER = "performance"


def validation_of(workspace: Path) -> Validation | None:
    """The verdict on the run's data, or None where the stage `validate` left none."""
    path = workspace / "artifacts" / "validate" / "verdict.json"
    if not path.is_file():
        return None
    try:
        require_fit(path)
    except UnfitDataError as error:
        return Validation(verdict="unfit", sentence=str(error)[:500])
    return Validation(verdict="fit", sentence="the data met every expectation")


def splits_of(workspace: Path) -> Splits | None:
    """Whether training and measured logs are apart, from the prepared clips; None without them.

    A training log that is measured on held-out frames is not shared: the report keeps it apart as `same_log`.
    """
    try:
        store = ClipStore(workspace / "artifacts" / "prepare")
    except DataError:
        return None
    logs = {
        split: {store.row(clip_id)["log_id"] for clip_id in store.clip_ids(split)} for split in ("train", "val", "test")
    }
    measured = logs["test"] | logs["val"]
    shared = (logs["train"] & measured) | (logs["val"] & logs["test"])
    return Splits(n_training_logs=len(logs["train"]), n_measured_logs=len(measured), shared=tuple(sorted(shared)))


def data_of(workspace: Path, report: Report | None) -> PreparedData | None:
    """Sources, and the clips that the report names, as the prepared data have them; None without either."""
    prepare = workspace / "artifacts" / "prepare"
    if report is None:
        return None
    try:
        store = ClipStore(prepare)
        rows = [store.row(clip.clip_id) for clip in report.clips]
        named = {source.name for source in read_sources(prepare / "sources.json")}
    except DataError:
        return None
    return PreparedData(
        sources=tuple(sorted(named | {store.row(clip_id)["source"] for clip_id in store.clip_ids()})),
        clips_sha256=clips_digest((r["clip_id"], r["log_id"], r["source"], r["split"], r["sha256"]) for r in rows),
    )


def manifests_of(workspace: Path, stages: list[str]) -> Manifests:
    """Whether the output of every stage is, file by file, what its manifest says."""
    broken = {}
    for stage in stages:
        problem = _broken(workspace / "artifacts" / stage)
        if problem is not None:
            broken[stage] = problem
    return Manifests(stages=tuple(stages), broken=broken)


def _broken(directory: Path) -> str | None:
    try:
        files = read_manifest(directory)["files"]
    except DataError as error:
        return error.what
    there = {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and path.name != MANIFEST_FILE
    }
    if there != set(files):
        return f"files that the manifest does not name, or that are gone: {', '.join(sorted(there ^ set(files))[:3])}"
    changed = [name for name, facts in files.items() if file_sha256(directory / name) != facts["sha256"]]
    return f"changed since: {', '.join(sorted(changed)[:3])}" if changed else None


def performance_of(
    state: Path, workspace: Path, model_sha256: str, environment: Mapping[str, str]
) -> Performance | None:
    """The model's measured speed and memory on this machine; measured now if it was not yet, None without a model.

    What was measured by other code, or under other params (a snapshot of both names the workspace), is not taken.

    Raises:
        StageError: it could not be measured.
    """
    if not model_sha256:
        return None
    kept = state / PERFORMANCE_FOLDER / f"{fingerprint([model_sha256, workspace.name, processor()])}.json"
    if kept.is_file():
        return Performance.model_validate(json.loads(kept.read_text()))
    command = [sys.executable, "-m", "flows.speed"]
    result = subprocess.run(command, cwd=workspace, env=dict(environment), capture_output=True, text=True)
    if result.returncode:
        got = (result.stderr or result.stdout).strip()[-800:]
        raise StageError(
            "the model's speed could not be measured", got=got, fix=f"in {workspace}: python -m flows.speed"
        )
    found = Performance.model_validate(json.loads(result.stdout.splitlines()[-1]))
    with atomic_file(kept) as file:
        file.write((canonical_json(found) + "\n").encode())
    return found


def gather(workspace: Path, stages: list[str], report: Report | None, known: Evidence) -> Evidence:
    """What is `known` of the model, its champion and its speed, with all that the workspace can show."""
    found = {
        "data": data_of(workspace, report),
        "validation": validation_of(workspace),
        "splits": splits_of(workspace),
        "manifests": manifests_of(workspace, stages),
    }
    return known.model_copy(update=found)
