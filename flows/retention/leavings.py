"""What runs and measurements leave beside their outputs: resume state, media, features, speeds, rebuilds.

All of it can be made again. Reports, decisions and run records are not touched.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from flows.audit.rebuild import REBUILDS
from flows.driver import PAGE_FILE
from flows.evidence import PERFORMANCE_FOLDER
from flows.inputs import input_digest
from flows.judging import EVALUATIONS, REPORT_FILE
from flows.retention import disk
from flows.retention.rule import DAY_S, Item, Kind, Tally
from flows.retention.view import View
from flows.workspace import is_locked
from worldmodel.errors import WorldModelError

_FEATURES, _RESUME, _PICTURES = "features", "resume", "pictures"
_AT_WORK, _YOUNG = "a run is at work", "younger than an hour"


def plan_leavings(view: View, staying: list[Path], tally: Tally) -> None:
    """Which of it goes; `staying` are the workspaces that stay."""
    _plan_resume(view, staying, tally)
    _plan_pages(view, tally)
    _plan_evaluations(view, tally)
    _plan_features(view, tally)
    _plan_performance(view, tally)
    _plan_rebuilds(view, tally)


def _plan_resume(view: View, staying: list[Path], tally: Tally) -> None:
    """A stage goes on from resume state of the same inputs: those of a workspace that stays are needed."""
    found = disk.folders(view.place.state, _RESUME)
    stages = {path.name.rpartition("-")[0] for path in found}
    needed, unknown = set[str](), ""
    for workspace in staying if found else []:
        try:
            needed |= _resume_names(workspace, stages)
        except (WorldModelError, OSError, yaml.YAMLError, KeyError, TypeError) as error:
            unknown = f"nobody can tell what workspace {workspace.name} needs"
            tally.notes.append(f"{unknown}, so all resume state stays: {error!r}")
    for path in found:
        why = "a workspace that stays goes on from it" if path.name in needed else _young(view, path) or unknown
        _sort(view, tally, "resume", path, (why or _at_work(view), "no workspace that stays goes on from it"))


def _resume_names(workspace: Path, stages: set[str]) -> set[str]:
    """The names of resume folders that stages of a workspace would look for."""
    pipeline = workspace / "dvc.yaml"
    if not pipeline.is_file():
        return set()
    names = stages & set(yaml.safe_load(pipeline.read_text())["stages"])
    return {f"{name}-{input_digest(workspace, name)[:16]}" for name in names}


def _plan_pages(view: View, tally: Tally) -> None:
    """Pages of runs; those of runs whose data were recalled show such data."""
    for folder in disk.folders(view.place.state, "runs"):
        for path in disk.files(view.place.state, "runs", folder.name):
            if path.name == PAGE_FILE:
                is_kept = folder.name in view.kept.why
                shows = folder.name in view.tainted.runs and folder.name not in view.kept.serving
                why = "of a kept run" if is_kept and not shows else ""
                gone = "it shows recalled data" if shows else "of a run that is not kept"
                _sort(view, tally, "media", path, (why, gone))


def _plan_evaluations(view: View, tally: Tally) -> None:
    """Pictures and pages of measurements; their reports and features stay."""
    serving = {s for run in view.known if run.run_id in view.kept.serving for s in run.models}
    tainted = {s for run in view.known if run.run_id in view.tainted.runs for s in run.models} - serving
    for folder in disk.folders(view.place.state, EVALUATIONS):
        model = _measured_model(folder / REPORT_FILE)
        if model is None:
            continue
        why = "of a kept run's model" if model in view.kept.models - tainted else ""
        gone = "of a model that has seen recalled data" if model in tainted else "of a model that is not kept"
        for path in (folder / _PICTURES, folder / PAGE_FILE):
            if path.exists() and not path.is_symlink():
                _sort(view, tally, "media", path, (why or _young(view, path), gone))


def _measured_model(report: Path) -> str | None:
    """The sha256 of the model that a report is of; None where there is no report that says so."""
    try:
        return str(json.loads(report.read_text())["model"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plan_features(view: View, tally: Tally) -> None:
    """Features are found by what they are of, not by run; older than every kept run, none may have been of use to one.

    Whether any are of recalled data nobody can tell, so all go with such data.
    """
    starts = [run.started for run in view.known if run.run_id in view.kept.why and run.started is not None]
    oldest = min(starts, default=view.rule.now)
    gone = "perhaps of recalled data" if view.tainted.runs else "older than every kept run"
    for folder in disk.folders(view.place.state, _FEATURES):
        for path in disk.files(view.place.state, _FEATURES, folder.name):
            is_newer = disk.changed(path) >= oldest and not view.tainted.runs
            why = "as young as a kept run" if is_newer else "" if view.tainted.runs else _young(view, path)
            _sort(view, tally, "features", path, (why or _at_work(view), gone))


def _plan_performance(view: View, tally: Tally) -> None:
    """Speeds are asked for again by the gate alone, when the same snapshot comes to the same model."""
    for path in disk.files(view.place.state, PERFORMANCE_FOLDER):
        try:
            model = str(json.loads(path.read_text())["model_sha256"])
        except (ValueError, KeyError, TypeError):
            continue
        why = "of a kept run's model" if model in view.kept.models else _young(view, path) or _at_work(view)
        _sort(view, tally, "performance", path, (why, "of a model that is not kept"))


def _plan_rebuilds(view: View, tally: Tally) -> None:
    """A rebuild that was kept to be looked at, or that was killed and can go on, until it is older than the rule's."""
    state = view.place.state
    for place in disk.folders(state, REBUILDS):
        locks = [path for path in disk.files(state, REBUILDS, place.name, "workspaces") if path.suffix == ".lock"]
        newest = max(map(disk.changed, _marks(state, place)))
        why = "at work" if any(is_locked(place, path.stem) for path in locks) else ""
        if newest > view.rule.now - max(view.rule.days * DAY_S, 3600.0):
            why = why or "worked at lately"
        lock = locks[0].relative_to(state).as_posix() if locks else ""
        _sort(view, tally, "rebuild", place, (why, "a rebuild that nobody goes on with"), lock)


def _marks(state: Path, place: Path) -> Iterable[Path]:
    """What a rebuild changes while it is at work."""
    yield place
    for workspace in disk.folders(state, REBUILDS, place.name, "workspaces"):
        yield from (workspace, *disk.folders(state, *workspace.relative_to(state).parts, "run"))


def _sort(view: View, tally: Tally, kind: Kind, path: Path, why: tuple[str, str], lock: str = "") -> None:
    """Puts something to what stays, with a reason, or to what goes, with another."""
    stays, goes = why
    if stays:
        tally.stays(kind, stays, disk.size(path))
        return
    relative = path.relative_to(view.place.state).as_posix()
    changed = disk.changed(path)
    tally.goes(Item(kind=kind, path=relative, bytes=disk.size(path), changed=changed, why=goes, lock=lock))


def _young(view: View, path: Path) -> str:
    return _YOUNG if view.is_young(disk.changed(path)) else ""


def _at_work(view: View) -> str:
    return _AT_WORK if view.at_work else ""
