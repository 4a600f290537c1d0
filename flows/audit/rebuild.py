"""Question 8: can a model be made again? Its stages run anew, and every output is held against its signed record.

A rebuild has a place of its own, `<state>/rebuilds/<key>/`: a worktree of the recorded commit, an empty DVC cache and
resume state that no run has touched, so nothing that a run made is taken over. Recorded sources are those of this
machine, hashed anew. A call that was killed left its finished stages and its resume state there, and the next call with
the same surroundings goes on from them.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.audit.books import Books, ModelRef
from flows.audit.rebuild_plan import REPORT_STAGE, Plan, plan_rebuild
from flows.audit.rebuilt import (
    FactDifference,
    Measured,
    Rebuilt,
    StageRebuilt,
    fact_differences,
    measured,
    stage_rebuilt,
)
from flows.bundle import bundle_digest
from flows.environment import stage_environment
from flows.git import git
from flows.lineage.events import API_KEY_VARIABLE, RUN_VARIABLE, URL_VARIABLE
from flows.lineage.records import MANIFEST, PACKAGES, stage_record
from flows.lineage.surroundings import installed_packages, surroundings
from flows.manifest import MANIFEST_FILE, digest, file_sha256
from flows.pipeline import clear_dead_locks, lock_entries, read_progress, run_stage
from flows.reporter import Reporter
from flows.signing.statements import StageFacts
from flows.stage import NOT_APPLICABLE_FILE, thread_variables
from flows.workspace import SOURCES_FILE, open_workspace, require_space, workspace_lock
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError, WorkspaceError

REBUILDS = "rebuilds"
REPORT_FILE, FEATURES_FOLDER = "report.json", "features"
_MIN_FREE_MIB = 1024
_PACKAGES_FACT = "packages"  # of the surroundings: a digest, which says nothing beside the list
_OF_A_RUN = (RUN_VARIABLE, URL_VARIABLE, API_KEY_VARIABLE)  # nobody is told of a run that there is not


def rebuild(
    books: Books, model: ModelRef, reporter: Reporter, until: str | None = None, *, keep: bool = False
) -> Rebuilt:
    """Makes a model again and compares it with its records; measures it where it is not the same.

    Args:
        books: with a checkout that has the run's git objects.
        model: which.
        reporter: told of every stage.
        until: the last stage to make; None: all that the model's parts come from.
        keep: leaves the workspace.

    Raises:
        RecordError, SigningError: what it would be compared with is gone, altered, or signed by no trusted key.
        ParamsError: `until` is none of its stages.
        DataError: a recorded source is not on this machine, or has changed.
        WorkspaceError: the recorded commit is not in this checkout, or the same rebuild is at work.
        StageError: a stage failed; a second call goes on there.
        Preempted: told to stop; a second call goes on.
    """
    if books.checkout is None:
        raise WorkspaceError("a rebuild needs the checkout that its run was made from", fix="call it in your clone")
    plan = plan_rebuild(books, books.checkout, model, until)
    here = surroundings(books.checkout, plan.threads)
    key = digest([plan.run.run_id, plan.model.model_sha256, here])[:16]
    place = books.state / REBUILDS / key
    with _alone(place, plan):
        require_space(place, _MIN_FREE_MIB)
        try:
            _bring_sources(books.checkout, plan, books.state, place)
        except DataError:
            if not (place / "workspaces" / plan.snapshot.key).exists():
                shutil.rmtree(place)
            raise
        site = _Site(books, place, open_workspace(books.checkout, place, plan.snapshot), reporter, plan)
        found = site.made_again()
        if not keep:
            git(books.checkout, "worktree", "remove", "--force", str(site.workspace))
            shutil.rmtree(place)
            return found
        return found.model_copy(update={"workspace": str(site.workspace)})


@contextmanager
def _alone(place: Path, plan: Plan) -> Iterator[None]:
    """Holds the place for this call."""
    try:
        with workspace_lock(place, plan.snapshot.key):
            yield
    except BlockingIOError:
        raise WorkspaceError(f"{plan.model} is being rebuilt already", got=str(place), fix="wait for it") from None


@dataclass
class _Site:
    """A rebuild at work in its place."""

    books: Books
    place: Path
    workspace: Path
    reporter: Reporter
    plan: Plan

    def __post_init__(self) -> None:
        variables = {**stage_environment(self.place), **thread_variables(self.plan.threads)}
        self.environment = {name: value for name, value in variables.items() if name not in _OF_A_RUN}
        self._upstream_ran = False

    def made_again(self) -> Rebuilt:
        """Every stage, and what came of it."""
        plan = self.plan
        clear_dead_locks(self.workspace)
        self.reporter.say(_announcement(plan))
        stages = [self._stage(stage) for stage in plan.stages]
        found = Rebuilt(
            name=plan.model.name,
            version=plan.model.version,
            run_id=plan.run.run_id,
            model_sha256=plan.model.model_sha256,
            rebuilt_sha256=bundle_digest(self.workspace / "artifacts") if plan.whole else None,
            stages=tuple(stages),
        )
        return found if found.verdict != "different" else self._explained(found)

    def _stage(self, stage: str) -> StageRebuilt:
        seconds, made = self._bring(stage), self.plan.made[stage]
        found = stage_rebuilt(self.workspace, stage, made.facts.subjects, made.manifest, (seconds, made.seconds))
        if not found.identical:
            self.reporter.say(f"{stage} differs from its record: {_files(len(found.files))}")
        return found

    def _bring(self, stage: str) -> float | None:
        """Runs a stage unless an earlier call finished it; returns the seconds that it took."""
        if not self._upstream_ran and self._is_finished(stage):
            return None
        self._upstream_ran = True
        self.reporter.stage_started(stage)

        def poll() -> None:
            self.reporter.stage_progress(stage, read_progress(self.workspace / "run" / stage))

        result = run_stage(self.workspace, stage, self.environment, poll, force=True)
        write_finished(self.workspace, stage)
        shutil.rmtree(self.place / "resume", ignore_errors=True)
        self.reporter.stage_done(result)
        return round(result.seconds, 2)

    def _is_finished(self, stage: str) -> bool:
        """Whether an earlier call made it, and nobody touched it since."""
        manifest, mark = self.workspace / "artifacts" / stage / MANIFEST_FILE, _mark(self.workspace, stage)
        is_there = manifest.is_file() and mark.is_file() and stage in lock_entries(self.workspace / "dvc.lock")
        return is_there and mark.read_text() == file_sha256(manifest)

    def _explained(self, found: Rebuilt) -> Rebuilt:
        """With what differs between there and here, and how the model measures."""
        first = found.first_difference
        maker = None if first is None else self.plan.made[first.stage].maker
        changes: dict[str, Any] = {"surroundings_known": maker is not None}
        if maker is not None:
            changes["surroundings"] = self._surroundings(maker)
        if self.plan.whole:
            changes["measured"] = self._measured()
        return found.model_copy(update=changes)

    def _surroundings(self, maker: StageFacts) -> tuple[FactDifference, ...]:
        """Facts and packages that differ from those that the stage was made with."""
        here = surroundings(self.workspace, self.plan.threads)
        run = self.books.records.run(maker.run_id)
        packages = self.books.records.json(run, PACKAGES)
        facts = fact_differences(maker.environment, here)
        if packages is None:
            return facts
        by_name = fact_differences(packages, installed_packages(), "package ")
        return (*(fact for fact in facts if fact.fact != _PACKAGES_FACT), *by_name)

    def _measured(self) -> Measured:
        """Measures the rebuilt model as the recorded one was measured, and compares the two."""
        from evaluation.compare import compare
        from evaluation.records import read_report
        from evaluation.report import Report

        recorded = self.books.records.json(self.plan.run, stage_record(REPORT_STAGE, REPORT_FILE))
        if recorded is None or not self.plan.measuring:
            return Measured(why_not=f"run {self.plan.run.run_id} has no report to compare with")
        self.reporter.say("the model is not the same: measuring it as the recorded one was measured")
        for stage in self.plan.measuring:
            self._bring(stage)
        output = self.workspace / "artifacts" / REPORT_STAGE
        if (output / NOT_APPLICABLE_FILE).is_file():
            return Measured(why_not="there was nothing to measure of the rebuilt model")
        features = self._recorded_features()
        try:
            report = read_report(output / REPORT_FILE)
            theirs = Report.model_validate(recorded)
            return measured(compare(report, theirs, features and output / FEATURES_FOLDER, features))
        except (DataError, ValueError) as error:  # other clips, another protocol, or a report of another version
            return Measured(why_not=str(error).splitlines()[0])

    def _recorded_features(self) -> Path | None:
        """The features that the recorded report's distances are of, if its workspace still has that very output."""
        output = self.books.state / "workspaces" / self.plan.snapshot.key / "artifacts" / REPORT_STAGE
        recorded = self.plan.run.files.get(stage_record(REPORT_STAGE, MANIFEST))
        manifest = output / MANIFEST_FILE
        is_same = manifest.is_file() and file_sha256(manifest) == recorded
        return output / FEATURES_FOLDER if is_same and (output / FEATURES_FOLDER).is_dir() else None


def _mark(workspace: Path, stage: str) -> Path:
    return workspace / "run" / stage / "rebuilt"


def write_finished(workspace: Path, stage: str) -> None:
    """Notes that a stage's output is complete: sha256 of its manifest."""
    with atomic_file(_mark(workspace, stage)) as stream:
        stream.write(file_sha256(workspace / "artifacts" / stage / MANIFEST_FILE).encode())


def _announcement(plan: Plan) -> str:
    known = [made.seconds for made in plan.made.values() if made.seconds is not None]
    which = "they" if len(known) == len(plan.made) else f"{len(known)} of them"
    took = f"; {which} took {_minutes(sum(known))} when they were recorded" if known else ""
    return f"making {len(plan.stages)} stages of run {plan.run.run_id} again, from nothing{took}"


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _bring_sources(checkout: Path, plan: Plan, state: Path, place: Path) -> None:
    """Makes the recorded sources of the run known to its rebuild, each hashed anew; before anything is made.

    Raises:
        DataError: one is not on this machine, or has changed; names it, its digests and its path.
    """
    from flows.stages.prepare import DIGEST_CACHE_FILE, LOCAL_PATHS_FILE
    from worldmodel.data.digests import folder_digest
    from worldmodel.data.sources import ResolvedSource, read_local_paths, read_sources, remember_paths

    recorded = place / Path(SOURCES_FILE).name
    recorded.write_text(git(checkout, "show", f"{plan.snapshot.commit}:{SOURCES_FILE}"))
    known, found = read_local_paths(state / LOCAL_PATHS_FILE), []
    for entry in read_sources(recorded):
        if entry.digest is None:
            continue
        path = known.get(entry.digest)
        fix = f"`worldmodel run --data {entry.adapter}:COPY --until prepare` makes the place of a copy known"
        if path is None or not path.is_dir():
            got = f"{path}, which is no folder" if path else "no path for it"
            what = f"source {entry.name} is not on this machine"
            raise DataError(what, expected=f"digest {entry.digest}", got=got, fix=fix)
        now = folder_digest(path, place / DIGEST_CACHE_FILE)
        if now != entry.digest:
            what = f"source {entry.name} at {path} has changed since it was recorded"
            raise DataError(what, expected=f"digest {entry.digest}", got=f"digest {now}", fix=fix)
        found.append(ResolvedSource(entry.name, entry.adapter, entry.digest, path))
    remember_paths(place / LOCAL_PATHS_FILE, found)
