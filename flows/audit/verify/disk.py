"""Files: what stages left in workspaces, byte by byte against recorded manifests, and DVC's cache against its names."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.audit.verify.entries import Tombstones
from flows.audit.verify.evidence import Workspace
from flows.audit.verify.runs import Run, Shelf
from flows.audit.verify.tally import Tally, shown
from flows.lineage.records import LOCK, MANIFEST, PARAMS, RECALLS, SOURCES, stage_record
from flows.manifest import file_sha256

_DIR = ".dir"


@dataclass(frozen=True)
class _File:
    """A file, what it belongs to, and the digest that it should have."""

    path: Path
    where: str
    expected: str


@dataclass(frozen=True)
class Disk:
    """What files are held against: records by `shelf`, and what retention has deleted below `state`."""

    shelf: Shelf
    gone: Tombstones
    state: Path | None

    def deleted(self, path: Path) -> bool:
        """Whether retention says that it deleted a path."""
        if self.state is None or not path.is_relative_to(self.state):
            return False
        return self.gone.cover(path.relative_to(self.state).as_posix())


def check_workspace(place: Workspace, runs: dict[str, Run], disk: Disk, tally: Tally) -> None:
    """The files of a workspace; every stage's output has to be, as a whole, that of one of the runs."""
    known = [runs[run_id] for run_id in reversed(place.run_ids) if run_id in runs]  # the newest first
    if not known:
        tally.note(f"workspace {place.folder.name}", "no run with a statement that holds has worked there: not checked")
        return
    files: list[_File] = []
    for name in (LOCK, PARAMS, SOURCES, RECALLS):
        _check_copy(place, name, known, disk, tally)
    for stage in sorted({stage for run in known for stage in run.statement.stages}):
        where = f"workspace {place.folder.name}: {stage}"
        found = tally.attempt("disk/unreadable", where, _of_stage, place, stage, known, disk, tally)
        files += found or []
    _compare(files, file_sha256, "disk/changed", tally)


def check_cache(cache: Path, tally: Tally) -> None:
    """Every object of DVC's cache has the md5 that it is named by."""
    top = cache / "files" / "md5"
    found = [
        _File(path, f"cache object {path.parent.name}{path.name}", f"{path.parent.name}{path.name.removesuffix(_DIR)}")
        for path in sorted(top.glob("[0-9a-f][0-9a-f]/*"))
        if len(path.name.removesuffix(_DIR)) == 30
    ]
    _compare(found, _md5, "cache/altered", tally)


def _check_copy(place: Workspace, name: str, known: list[Run], disk: Disk, tally: Tally) -> None:
    """A file of the workspace itself is as one of the runs recorded it."""
    path, where = place.folder / name, f"workspace {place.folder.name}: {name}"
    recorded = [run.statement.files[name] for run in known if name in run.statement.files]
    if not recorded:
        return
    tally.count += 1
    if not path.is_file():
        if not (place.partial or place.unrecorded or disk.deleted(path)):
            tally.found("disk/missing", where, f"the file is gone; {known[0].where} recorded it")
        return
    got = tally.attempt("disk/unreadable", where, file_sha256, path)
    if got is None or got in recorded:
        return
    if place.unrecorded:
        tally.note(where, f"not as a run recorded it: {place.unrecorded}")
    else:
        tally.found(
            "disk/changed", where, f"sha256: expected {shown(recorded[0])} ({known[0].where}), got {shown(got)}"
        )


def _of_stage(place: Workspace, stage: str, known: list[Run], disk: Disk, tally: Tally) -> list[_File]:
    """The files of a stage's output, with the digests that its manifest gives them."""
    folder, name = place.folder / "artifacts" / stage, stage_record(stage, MANIFEST)
    where = f"workspace {place.folder.name}: {stage}"
    made = [run for run in known if name in run.statement.files]
    if not folder.is_dir():
        tally.count += 1
        if not (place.partial or place.unrecorded or disk.deleted(folder)):
            tally.found("disk/missing", where, f"the output is gone; {made[0].where} recorded it")
        return []
    there = file_sha256(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
    tally.count += 1
    source = next((run for run in made if run.statement.files[name] == there), None)
    if source is None and place.unrecorded:
        tally.note(where, f"its manifest is not that of a recorded run: {place.unrecorded}")
        manifest = json.loads((folder / MANIFEST).read_bytes()) if there else {"files": {}}
    else:
        if source is None and not (there is None and place.partial):
            expected = f"{shown(made[0].statement.files[name])} ({made[0].where})"
            tally.found("disk/changed", f"{where}: {MANIFEST}", f"sha256: expected {expected}, got {shown(there)}")
        manifest = disk.shelf.json((source or made[0]).statement, name)
    return [] if manifest is None else _listed(place, folder, manifest["files"], disk, tally)


def _listed(place: Workspace, folder: Path, files: dict[str, Any], disk: Disk, tally: Tally) -> list[_File]:
    where = f"workspace {place.folder.name}: {folder.name}"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(there - set(files)):
        tally.found("disk/extra", f"{where}: {name}", "a file that the manifest does not name")
    for name in sorted(set(files) - there):
        if not (place.partial or disk.deleted(folder / name)):
            tally.found("disk/missing", f"{where}: {name}", "a file that the manifest names is gone")
    return [_File(folder / name, f"{where}: {name}", str(files[name]["sha256"])) for name in sorted(there & set(files))]


def _compare(files: Iterable[_File], digest: Callable[[Path], str], code: str, tally: Tally) -> None:
    """Reads files in as many threads as there are cores; hashing lets the interpreter go."""
    listed = list(files)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        futures = [pool.submit(digest, file.path) for file in listed]
        for file, future in zip(listed, futures, strict=True):
            tally.count += 1
            got = tally.attempt("disk/unreadable", file.where, future.result)
            if got is not None and got != file.expected:
                what = "md5" if digest is _md5 else "sha256"
                sentence = f"{what}: expected {shown(file.expected)}, got {shown(got)}"
                tally.found(code, file.where, sentence)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
