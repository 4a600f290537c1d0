"""What the flow records of a run: a signed statement of each stage's output, and one of the run as a whole.

A stage's statement says what its output is, by the manifest that names every file of it, and what it was made from, by
`dvc.lock`. Only manifests are hashed here: they hold the digests of everything else. A run that is killed leaves
records that no statement names, which harms nobody; the next run records what it finds.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from evaluation.base import canonical_json, fingerprint
from evaluation.decision import Decision
from flows.ledger.bodies import RunRecorded
from flows.lineage.events import ended_with, of_run, time_text
from flows.lineage.records import (
    DECISION,
    ENVIRONMENT,
    EVENTS,
    GATE_INPUTS,
    LOCK,
    MANIFEST,
    PACKAGES,
    PARAMS,
    RECALLS,
    RUN_FILE,
    SOURCES,
    STAGE_FILES,
    STATEMENT,
    Records,
    RunStatement,
    stage_record,
)
from flows.manifest import digest, file_sha256, read_manifest
from flows.runs import RunRecord
from flows.signing.dsse import envelope_bytes, sign, verify
from flows.signing.keys import PublicKey, SigningKey, actor
from flows.signing.statements import (
    CODE,
    ENVIRONMENT_DEP,
    Dependency,
    RunFacts,
    StageFacts,
    read_stage_statement,
    run_statement,
    stage_statement,
)
from flows.stage import NOT_APPLICABLE_FILE, STATE_FILE
from flows.workspace import Snapshot
from worldmodel.errors import RecordError, SigningError

if TYPE_CHECKING:
    from flows.ledger.store import Ledger

STATEMENT_PATH, STAGE_PATH = "records/run-statement.json", "records/stages/{stage}.json"
_OF_THE_FOLDER = (RUN_FILE, PACKAGES, GATE_INPUTS, DECISION)
_OF_THE_WORKSPACE = (LOCK, PARAMS, SOURCES, RECALLS)


@dataclass(frozen=True)
class Closed:
    """A run's statement (`sha256` of its envelope), and the files that go to the run's git ref, by their path there."""

    statement_sha256: str
    files: dict[str, bytes]


class Recorder:
    """Records one run, stage by stage. The driver alone holds one, since it signs."""

    def __init__(
        self, records: Records, ledger: "Ledger", key: SigningKey, run: RunRecord, snapshot: Snapshot, workspace: Path
    ) -> None:
        self.records, self.ledger, self.key = records, ledger, key
        self.run, self.snapshot, self.workspace = run, snapshot, workspace
        self._files: dict[str, str] = {}
        self._statements: dict[str, bytes] = {}

    def stage(self, stage: str, outcome: str, entry: dict[str, Any], environment: dict[str, str]) -> None:
        """Signs and keeps the statement of a stage's output, and the files that questions are answered from.

        What was not made in this run has the environment that it was made in, as the statement of the run that made it
        has it, and none where no such statement is known.

        Args:
            stage: which one; its output is complete.
            outcome: ran, cached or restored.
            entry: the stage's entry in `dvc.lock`.
            environment: `flows.lineage.surroundings` of this run.

        Raises:
            DataError: there is no finished output.
            RecordError: a file of the output, or what it was made from, is not as it was when the stage finished.
        """
        folder = self.workspace / "artifacts" / stage
        files = read_manifest(folder)["files"]
        kept = self._keep_files(stage, outcome, folder, files)
        made_in = environment if outcome == "ran" else self._made_in(entry)
        started, finished = self._times(stage, outcome)
        facts = StageFacts(
            run_id=self.run.run_id,
            stage=stage,
            outcome=outcome,
            subjects=_subjects(stage, folder, files),
            params=entry.get("params", {}).get(PARAMS, {}),
            lock=entry,
            environment=made_in,
            dependencies=self._dependencies(entry, made_in),
            started_at=started,
            finished_at=finished,
        )
        content = envelope_bytes(sign(stage_statement(facts), self.key))
        kept[STATEMENT] = self.records.put(content)
        self._statements[stage] = content
        self._files |= {stage_record(stage, name): sha256 for name, sha256 in kept.items()}
        self._files[ENVIRONMENT] = self.records.put(canonical_json(environment).encode())
        if outcome == "ran":
            self.records.note_maker(digest(entry), kept[STATEMENT])

    def keep(self, folder: Path, flow_run: str, decision: Decision | None) -> tuple[RunFacts, str]:
        """Signs the run's statement as it stands, which names every record of it; returns its facts and its sha256.

        The ledger does not name it yet. A promotion rests on it, so it is kept before the alias moves: if the driver is
        killed then, the next run enters it (`flows.settling`).

        Args:
            folder: the run's own, with the files that it wrote.
            flow_run: Prefect's id; empty where there is none.
            decision: the gate's, when it came to one.
        """
        files = {**self._unfinished(), **self._files}
        for place, names in ((folder, _OF_THE_FOLDER), (self.workspace, _OF_THE_WORKSPACE)):
            files |= {name: self._put(place / name) for name in names if (place / name).is_file()}
        facts = self._run_facts(flow_run, decision)
        envelope = sign(run_statement(facts, dict(sorted(files.items()))), self.key)
        return facts, self.records.add_run(self.run.run_id, envelope)

    def close(self, folder: Path, flow_run: str, decision: Decision | None) -> Closed:
        """Keeps the run's statement, and says in the ledger that it exists. Takes what `keep` does.

        Closing again, when a first time did not come to its end, enters nothing twice.
        """
        facts, sha256 = self.keep(folder, flow_run, decision)
        known = (entry.body or {} for entry in self.ledger.entries(kinds=("run.recorded",)))
        if all(body.get("statement_sha256") != sha256 for body in known):
            self.ledger.append(run_recorded(facts, sha256, self.key.keyid), facts.actor)
        return Closed(sha256, signed_files(self.records, self.records.run(self.run.run_id)))

    def _put(self, path: Path) -> str:
        return self.records.put(path.read_bytes())

    def _keep_files(self, stage: str, outcome: str, folder: Path, files: dict[str, Any]) -> dict[str, str]:
        """Digests of the manifest, of what `STAGE_FILES` names, and of the events of the process that made it all."""
        kept = {MANIFEST: self._put(folder / MANIFEST)}
        for name in (*STAGE_FILES.get(stage, ()), NOT_APPLICABLE_FILE):
            if name in files:
                kept[name] = self._put(folder / name)
                if kept[name] != files[name]["sha256"]:
                    what = f"{folder / name} was altered after {stage} had finished"
                    raise RecordError(what, expected=files[name]["sha256"], fix=f"worldmodel run --force {stage}")
        events = self.workspace / "run" / stage / EVENTS
        if events.is_file() and (outcome == "ran" or ended_with(events.read_text(), kept[MANIFEST])):
            kept[EVENTS] = self._put(events)
        return kept

    def _unfinished(self) -> dict[str, str]:
        """The events of stages that this run started and that did not come to an output."""
        found = {}
        for path in sorted((self.workspace / "run").glob(f"*/{EVENTS}")):
            stage = path.parent.name
            if stage not in self._statements and of_run(path.read_text(), self.run.run_id):
                found[stage_record(stage, EVENTS)] = self._put(path)
        return found

    def _times(self, stage: str, outcome: str) -> tuple[str, str]:
        """When the stage's process began and ended, as it left them; for what did not run, now."""
        path = self.workspace / "run" / stage / STATE_FILE
        finished, seconds = time.time(), 0.0
        if outcome == "ran" and path.is_file():
            finished, seconds = path.stat().st_mtime, float(json.loads(path.read_text()).get("seconds", 0.0))
        return time_text(finished - seconds), time_text(finished)

    def _dependencies(self, entry: dict[str, Any], environment: dict[str, str]) -> tuple[Dependency, ...]:
        code = {"gitCommit": self.snapshot.commit, "gitTree": self.snapshot.tree}
        found = [Dependency(name=CODE, digest=code)]
        for dep in entry.get("deps", []):
            path = str(dep["path"])
            if path.startswith("artifacts/"):
                found.append(self._dependency(path, self.workspace / path / MANIFEST, dep))
            elif path in (SOURCES, RECALLS):
                found.append(self._dependency(path, self.workspace / path, dep))
            if path == SOURCES:
                found += self._sources()
        if environment:
            found.append(Dependency(name=ENVIRONMENT_DEP, digest={"sha256": fingerprint(environment)}))
        return tuple(found)

    def _dependency(self, name: str, path: Path, dep: dict[str, Any]) -> Dependency:
        try:
            digests = {"sha256": file_sha256(path)}
        except FileNotFoundError:
            what = f"{path} is gone, which {self.run.run_id} read"
            raise RecordError(what, expected=f"what dvc.lock names as {name}", fix="run it again") from None
        return Dependency(name=name, digest=digests | ({"dvcMd5": str(dep["md5"])} if "md5" in dep else {}))

    def _sources(self) -> list[Dependency]:
        """The recorded sources; one that is generated has no digest: code and params determine it."""
        rows = json.loads((self.workspace / SOURCES).read_text())["sources"]
        recorded = ((row["name"], row["digest"]) for row in rows if row["digest"])
        return [Dependency(name=f"source/{name}", digest={"sha256": sha256}) for name, sha256 in recorded]

    def _made_in(self, entry: dict[str, Any]) -> dict[str, str]:
        """The environment in the statement of who made this very output; empty where none is known, or none trusted."""
        sha256 = self.records.maker(digest(entry))
        if sha256 is None:
            return {}
        try:
            signed = verify(json.loads(self.records.get(sha256)), self._trusted(), sha256)
            facts = read_stage_statement(signed.payload, sha256)
        except (RecordError, SigningError):  # what is wrong with it is for `audit verify` to say
            return {}
        return facts.environment if facts.lock == entry else {}

    def _trusted(self) -> dict[str, PublicKey]:
        from flows.ledger.trust import keys_of

        keys = {keyid: key.public for keyid, key in keys_of(self.ledger).items() if key.revoked_at is None}
        return keys | {self.key.keyid: self.key.public}

    def _run_facts(self, flow_run: str, decision: Decision | None) -> RunFacts:
        run, model = self.run, self.run.model
        return RunFacts(
            run_id=run.run_id,
            actor=run.actor or actor(),
            profile=run.profile,
            status=run.status,
            snapshot=self.snapshot.commit,
            tree=self.snapshot.tree,
            dirty=self.snapshot.dirty,
            started_at=time_text(run.started_at),
            ended_at=time_text(run.ended_at or time.time()),
            flow_run=flow_run,
            model=model.get("name"),
            version=model.get("version"),
            model_sha256=model.get("sha256"),
            parts=model.get("parts", {}),
            verdict=None if decision is None else decision.verdict,
            decision_sha256=None if decision is None else fingerprint(decision),
        )


def run_recorded(facts: RunFacts, sha256: str, keyid: str) -> RunRecorded:
    """What the ledger says of a run whose statement has this digest and was signed by this key."""
    shared = ("run_id", "status", "snapshot", "dirty", "model", "model_sha256", "decision_sha256", "verdict")
    values = {name: getattr(facts, name) for name in shared}
    return RunRecorded(statement_sha256=sha256, keyid=keyid, **values)


def signed_files(records: Records, run: RunStatement) -> dict[str, bytes]:
    """A run's statements, its own and its stages', by their path in its git ref.

    Raises:
        RecordError: one is gone, or was altered.
    """
    wanted = {STAGE_PATH.format(stage=stage): stage_record(stage, STATEMENT) for stage in run.stages}
    found = {path: records.get(run.files[name], f"{name} of run {run.run_id}") for path, name in wanted.items()}
    return {STATEMENT_PATH: envelope_bytes(run.envelope), **found}


def _subjects(stage: str, folder: Path, files: dict[str, Any]) -> dict[str, str]:
    """sha256 by path below the workspace: the output's manifest, then its weights.

    Weights are safetensors with a `config.json` beside them. Latents, videos and Gaussians, one file a clip, are in the
    manifest alone.
    """
    found = {f"artifacts/{stage}/{MANIFEST}": file_sha256(folder / MANIFEST)}
    for name, file in files.items():
        path = PurePosixPath(name)
        if path.suffix == ".safetensors" and path.with_name("config.json").as_posix() in files:
            found[f"artifacts/{stage}/{name}"] = str(file["sha256"])
    return found
