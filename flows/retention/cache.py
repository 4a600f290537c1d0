"""DVC's cache: its objects, and the run cache, which says what a stage once made from the same inputs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.retention import disk
from flows.retention.needs import LOCK_FILE, Listings, Locks, lock_text, named
from flows.retention.rule import Item, Tally
from flows.retention.view import View

_FOLDER, _REST = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{30}(\.dir)?")
_OUTS = "\nouts:"


@dataclass
class _Needs:
    """Names of objects by who needs them.

    Attributes:
        kept: kept runs, and workspaces that stay.
        registered: registered versions that are neither champion nor the newest.
        tainted: nobody, since recalled data went into them, unless they are among the others.
        problems: why nobody can say what kept runs need.
    """

    kept: set[str] = field(default_factory=set)
    registered: set[str] = field(default_factory=set)
    tainted: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def plan_cache(view: View, staying: list[Path], tally: Tally) -> None:
    """Which objects go; none while a run is at work, or while nobody can tell all that kept runs need."""
    needs = _listed(view, _needs(view, staying, tally))
    tally.notes += [f"{problem}: the cache is left alone" for problem in sorted(needs.problems)]
    hold = "a run is at work" if view.at_work else "nobody can tell who needs it" if needs.problems else ""
    objects: set[str] = set()
    for name, path in _objects(view.place.state):
        why = _why_it_stays(view, name, path, needs) or hold
        if why:
            objects.add(name)
            tally.stays("object", why, disk.size(path))
        else:
            reason = "recalled data went into it" if name in needs.tainted else "no run that is kept needs it"
            tally.goes(_item(view, path, reason, digest=name))
    _plan_run_cache(view, objects, hold, tally)


def _needs(view: View, staying: list[Path], tally: Tally) -> _Needs:
    """What locks name; listings are not opened."""
    found, locks = _Needs(tainted=view.tainted.objects(view.tainted.runs)), Locks(view.place)
    for run in view.known:
        is_kept = run.run_id in view.kept.why
        if not is_kept and (run.run_id not in view.kept.registered or view.rule.drop_refused):
            continue
        texts = locks.of(run)
        if run.finished and not texts:
            found.problems.append(f"the {LOCK_FILE} of {run.run_id}, which is kept, is nowhere")
        names = {name for text in texts for name in named(text)} - view.tainted.objects(_parted(view, [run.run_id]))
        (found.kept if is_kept else found.registered).update(names)
        spared = view.tainted.runs.get(run.run_id, ())
        if spared and run.run_id in view.kept.serving:
            serves = view.kept.serving[run.run_id]
            tally.notes.append(f"{serves} serves: {len(spared)} of its outputs hold recalled data, or come of them")
    for path in staying:
        runs = [run.run_id for run in view.known if run.key == path.name]
        found.kept |= named(lock_text(path / LOCK_FILE) or "") - view.tainted.objects(_parted(view, runs))
    return found


def _parted(view: View, run_ids: list[str]) -> list[str]:
    """These runs, to be parted from what recalled data went into; none where the model of one serves."""
    return [] if any(run_id in view.kept.serving for run_id in run_ids) else run_ids


def _listed(view: View, needs: _Needs) -> _Needs:
    """The same with what listings name."""
    listings = Listings(view.place.state, lambda name: _path(name) in view.told)
    kept, registered = listings.closure(needs.kept), listings.closure(needs.registered)
    gone = [f"{_path(name)}, which a kept run needs, is gone or damaged" for name in listings.unreadable]
    return _Needs(kept, registered, listings.closure(needs.tainted), needs.problems + gone)


def _why_it_stays(view: View, name: str, path: Path, needs: _Needs) -> str:
    if name in needs.kept:
        return "a kept run needs it"
    if name in needs.registered:
        return "a registered version needs it"
    if name not in needs.tainted and view.is_young(disk.changed(path)):
        return "younger than an hour"
    return ""


def _plan_run_cache(view: View, objects: set[str], hold: str, tally: Tally) -> None:
    """An entry is of use as long as all that it would restore is there.

    A folder goes as a whole with its last entry: on an empty one DVC fails, even if that is there for a moment.
    """
    state, gone = view.place.state, "what it would restore is gone, or goes"
    for top in disk.folders(state, "cache", "runs"):
        for folder in disk.folders(state, "cache", "runs", top.name):
            going = []
            for path in disk.files(state, "cache", "runs", top.name, folder.name):
                why = _why_entry_stays(view, path, objects) or hold
                if why:
                    tally.stays("run-cache", why, disk.size(path))
                else:
                    going.append(path)
            is_left_empty = len(going) == len(list(folder.iterdir()))
            if not going and (hold or view.is_young(disk.changed(folder))):
                continue
            for path in [folder] if is_left_empty else going:
                tally.goes(_item(view, path, gone, kind="run-cache"))


def _why_entry_stays(view: View, path: Path, objects: set[str]) -> str:
    outs = named(path.read_text(errors="replace").rpartition(_OUTS)[2])
    if outs <= objects:
        return "all that it names stays"
    is_tainted = bool(outs & view.tainted.objects(view.tainted.runs))
    return "younger than an hour" if view.is_young(disk.changed(path)) and not is_tainted else ""


def _objects(state: Path) -> Iterator[tuple[str, Path]]:
    for folder in disk.folders(state, "cache", "files", "md5"):
        if _FOLDER.fullmatch(folder.name):
            for path in disk.files(state, "cache", "files", "md5", folder.name):
                if _REST.fullmatch(path.name):
                    yield f"{folder.name}{path.name}", path


def _item(view: View, path: Path, why: str, kind: str = "object", digest: str | None = None) -> Item:
    relative = path.relative_to(view.place.state).as_posix()
    return Item.model_validate(
        {
            "kind": kind,
            "path": relative,
            "bytes": disk.size(path),
            "changed": disk.changed(path),
            "why": why,
            "digest": digest,
        }
    )


def _path(name: str) -> str:
    return f"cache/files/md5/{name[:2]}/{name[2:]}"
