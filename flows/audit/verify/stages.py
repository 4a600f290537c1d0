"""Stages: a signed statement each, whose every claim follows from another record of the same run.

The output is named by its manifest; a parent's manifest is the one recorded in this run; code, params and lock are the
run's own.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from evaluation.base import fingerprint
from flows.audit.verify.keyring import opened
from flows.audit.verify.runs import Run, Shelf, read_run
from flows.audit.verify.tally import Tally, shown
from flows.lineage.records import (
    EVENTS,
    LOCK,
    MANIFEST,
    PARAMS,
    RECALLS,
    SOURCES,
    STAGE_FILES,
    STATEMENT,
    stage_record,
)
from flows.manifest import digest
from flows.signing.statements import CODE, ENVIRONMENT_DEP, StageFacts, read_stage_statement

_FOLDER = "artifacts/"
_SOURCE = "source/"


def check_stages(runs: list[Run], shelf: Shelf, tally: Tally) -> None:
    """The statements of every run's stages."""
    for run in runs:
        made_from = _MadeFrom(*(_read(run, shelf, name, tally) for name in (PARAMS, LOCK, SOURCES)))
        for stage in run.statement.stages:
            where = f"{run.where}: {stage}"
            facts = _facts(run, shelf, stage, tally)
            if facts is not None:
                tally.attempt("stage/unreadable", where, _check, run, shelf, facts, tally)
                tally.attempt("stage/unreadable", where, _check_made_from, run, facts, made_from, tally)


@dataclass(frozen=True)
class _MadeFrom:
    """The run's own params, lock and sources; None where the run has none that can be read."""

    params: Any
    lock: Any
    sources: Any

    def source_digests(self) -> dict[str, str]:
        """sha256 of every recorded source, by the name of its dependency; those that are generated have none."""
        rows = () if self.sources is None else self.sources["sources"]
        return {f"{_SOURCE}{row['name']}": row["digest"] for row in rows if row["digest"]}


def _read(run: Run, shelf: Shelf, name: str, tally: Tally) -> Any:
    return tally.attempt("record/unreadable", f"{run.where}: {name}", shelf.yaml, run.statement, name)


def _facts(run: Run, shelf: Shelf, stage: str, tally: Tally) -> StageFacts | None:
    where, name = f"{run.where}: {stage}", stage_record(stage, STATEMENT)
    if shelf.broken(run.statement, name):
        return None
    envelope = read_run(run, shelf, name, tally)
    payload = None if envelope is None else opened(envelope, run.signers, where, tally)
    if payload is None:
        return None
    facts = tally.attempt("stage/unreadable", where, read_stage_statement, payload, where)
    if facts is None:
        return None
    held = tally.same("stage/swapped", where, "the stage that the statement is of", stage, facts.stage)
    held &= tally.same("stage/swapped", where, "the run that the statement is of", run.statement.run_id, facts.run_id)
    return facts if held else None


def _check(run: Run, shelf: Shelf, facts: StageFacts, tally: Tally) -> None:
    """The output: subjects, the manifest, and the copies of files that the manifest names."""
    stage, where, files = facts.stage, f"{run.where}: {facts.stage}", run.statement.files
    named = f"{_FOLDER}{stage}/{MANIFEST}"
    recorded = files.get(stage_record(stage, MANIFEST))
    tally.same("stage/output", where, "the manifest that is stated", recorded, facts.subjects.get(named))
    manifest = shelf.json(run.statement, stage_record(stage, MANIFEST))
    if manifest is None:
        return
    tally.same("stage/output", where, "the stage that the manifest is of", stage, manifest["stage"])
    tally.same("stage/output", where, "digest of the manifest's files", digest(manifest["files"]), manifest["digest"])
    stated = {name: sha256 for name, sha256 in facts.subjects.items() if name != named}
    made = {f"{_FOLDER}{stage}/{name}": sha256 for name, sha256 in _weights(manifest["files"]).items()}
    for name in sorted({*stated, *made}):
        tally.same("stage/weights", where, f"sha256 of {name}", made.get(name), stated.get(name))
    prefix = stage_record(stage, "")
    kept = {name.removeprefix(prefix) for name in files if name.startswith(prefix)} - {STATEMENT, EVENTS, MANIFEST}
    for name in sorted(kept | (set(STAGE_FILES.get(stage, ())) & set(manifest["files"]))):
        listed = manifest["files"].get(name, {}).get("sha256")
        tally.same("stage/copy", where, f"the recorded {name}", listed, files.get(f"{prefix}{name}"))


def _weights(files: dict[str, Any]) -> dict[str, str]:
    """Safetensors with a `config.json` beside them, as the flow states them."""
    return {
        name: str(file["sha256"])
        for name, file in files.items()
        if name.endswith(".safetensors") and PurePosixPath(name).with_name("config.json").as_posix() in files
    }


def _check_made_from(run: Run, facts: StageFacts, made_from: _MadeFrom, tally: Tally) -> None:
    """What the output was made from: lock, params, environment, then everything it depends on."""
    where, params = f"{run.where}: {facts.stage}", made_from.params
    if made_from.lock is not None:
        tally.count += 1
        if (made_from.lock.get("stages") or {}).get(facts.stage) != facts.lock:
            tally.found("stage/lock", where, "what the statement has of dvc.lock is not what the run's dvc.lock has")
    if params is not None:
        for key in dict.fromkeys(("seed", "threads", facts.stage, *facts.params)):
            tally.same("stage/params", where, f"params.yaml, {key}", params.get(key), facts.params.get(key))
    there = {dep.name: dep.digest for dep in facts.dependencies}
    if facts.environment:
        stated = there.get(ENVIRONMENT_DEP, {}).get("sha256")
        tally.same("stage/environment", where, "digest of the environment", fingerprint(facts.environment), stated)
    code = there.get(CODE, {})
    tally.same("stage/code", where, "the commit of the code", run.statement.facts.snapshot, code.get("gitCommit"))
    tally.same("stage/code", where, "the tree of the code", run.statement.facts.tree, code.get("gitTree"))
    locked = {str(dep["path"]): dep.get("md5") for dep in facts.lock.get("deps") or ()}
    _check_inputs(run, where, locked, there, tally)
    if SOURCES in locked and made_from.sources is not None:
        recorded = made_from.source_digests()
        for name in sorted({*recorded, *(name for name in there if name.startswith(_SOURCE))}):
            stated = there.get(name, {}).get("sha256")
            tally.same("stage/input", where, f"{name}, as {SOURCES} has it", recorded.get(name), stated)


def _check_inputs(run: Run, where: str, locked: dict[str, Any], there: dict[str, dict[str, str]], tally: Tally) -> None:
    """Every input that dvc.lock or the statement names is what this run made or was given."""
    for name in sorted(locked.keys() | there.keys()):
        recorded = _recorded(run.statement.files, name)
        if recorded is None:
            continue
        stated, code = there.get(name, {}), "stage/swapped-parent" if name.startswith(_FOLDER) else "stage/input"
        tally.same(code, where, f"{name}, as {run.where} has it", recorded, stated.get("sha256"))
        if name not in locked:
            tally.found(code, where, f"{name} is stated as an input, and dvc.lock has no such dependency")
        elif locked[name] != stated.get("dvcMd5", locked[name]):
            tally.found(code, where, f"{name}: dvc.lock has {shown(locked[name])}, stated {shown(stated['dvcMd5'])}")


def _recorded(files: dict[str, str], name: str) -> str | None:
    """The sha256 that a run's statement has for an input; None for what is part of the code."""
    if name.startswith(_FOLDER):
        return files.get(stage_record(name.removeprefix(_FOLDER), MANIFEST), "no record of it")
    return files.get(name) if name in (SOURCES, RECALLS) else None
