"""OpenLineage events of a stage: that it started, from what, and how it ended. Unsigned; the times in them are theirs.

They go to `run/<stage>/events.ndjson`, one a line, and to the server at `$OPENLINEAGE_URL` besides where that is set
(with `$OPENLINEAGE_API_KEY`). One that is down, slow or refuses is named once, and costs a stage two seconds at most.
No host, user or path of this machine is in an event. Each start is a run of its own; `$WORLDMODEL_RUN_ID`, the run of
the lifecycle, is its parent.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from flows.lineage.server import Server
from flows.manifest import MANIFEST_FILE, file_sha256, read_manifest
from worldmodel.errors import UnfitDataError, WorldModelError

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run
    from openlineage.client.generated.base import OutputDatasetFacet

EVENTS_FILE = "events.ndjson"
RUN_VARIABLE, URL_VARIABLE, API_KEY_VARIABLE = "WORLDMODEL_RUN_ID", "OPENLINEAGE_URL", "OPENLINEAGE_API_KEY"
NAMESPACE, FLOW, PRODUCER = "worldmodel", "lifecycle", "urn:worldmodel:stage"
VERDICT_FILE = "verdict.json"
_SOURCES = "data/sources.json"
_ABSOLUTE = re.compile(r"(?<![\w.:/-])/(?:[^\s/:;,'\"()]+/)+")


def time_text(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC with microseconds, as the ledger spells times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parent_run_id(run_id: str) -> str:
    """The UUID by which events name a run of the lifecycle."""
    return str(uuid5(NAMESPACE_URL, f"urn:worldmodel:run:{run_id}"))


def ended_with(text: str, manifest_sha256: str) -> bool:
    """Whether a stage's events end in an output with this manifest."""
    last = list(_read(text))[-1:]
    versions = [_facet(output, "version", "datasetVersion") for event in last for output in event.get("outputs", [])]
    return manifest_sha256 in versions


def of_run(text: str, run_id: str) -> bool:
    """Whether a stage's last events name this run of the lifecycle as their parent."""
    last = list(_read(text))[-1:]
    parents = [event.get("run", {}).get("facets", {}).get("parent", {}).get("run", {}) for event in last]
    return parent_run_id(run_id) in [parent.get("runId") for parent in parents]


def _read(text: str) -> Iterator[dict[str, Any]]:
    """The events in a file; a line that a killed stage left half-written is passed over."""
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _facet(dataset: dict[str, Any], name: str, field: str) -> Any:
    return dataset.get("facets", {}).get(name, {}).get(field)


class StageEvents:
    """The events of one process of a stage; every one but the first comes after `start`."""

    def __init__(self, name: str, root: Path) -> None:
        """`root` is the workspace; nothing is written or imported before `start`."""
        self.name, self.root, self.path = name, root, root / "run" / name / EVENTS_FILE
        self._server: Server | None = None
        self._run_id = ""

    def start(self) -> None:
        """Says that the stage starts, and from what."""
        from openlineage.client.uuid import generate_new_uuid

        self._run_id = str(generate_new_uuid())
        if url := os.environ.get(URL_VARIABLE):
            self._server = Server(url, os.environ.get(API_KEY_VARIABLE, ""))
        self._emit("START")

    def complete(self) -> None:
        """Says that the stage has an output, and which."""
        self._emit("COMPLETE", verdict=self.root / "artifacts" / self.name / VERDICT_FILE)

    def abort(self) -> None:
        """Says that the stage was told to stop, and saved its state."""
        self._emit("ABORT")

    def fail(self, error: WorldModelError) -> None:
        """Says that the stage failed, and why; nothing of one that could not start, by its params or its lock."""
        if self._run_id:
            unfit = self.path.with_name(VERDICT_FILE) if isinstance(error, UnfitDataError) else None
            self._emit("FAIL", error=f"{type(error).__name__}: {error}", verdict=unfit)

    def _emit(self, kind: str, error: str = "", verdict: Path | None = None) -> None:
        from openlineage.client.event_v2 import RunEvent, RunState, set_producer
        from openlineage.client.serde import Serde

        set_producer(PRODUCER)
        event = RunEvent(
            eventType=RunState[kind],
            eventTime=time_text(time.time()),
            run=self._run(error),
            job=self._job(),
            inputs=self._inputs(_assertions(verdict) if verdict else {}),
            outputs=self._outputs() if kind == "COMPLETE" else [],
        )
        try:
            with self.path.open("a") as stream:
                stream.write(Serde.to_json(event) + "\n")
        except OSError as problem:  # the disk may be full, which the stage says itself
            self._say(f"{EVENTS_FILE} could not be written: {problem.strerror}")
        if self._server is not None and (refusal := self._server.send(event)):
            self._say(f"{refusal}; the events are in {self.path.relative_to(self.root)} alone")
            self._server = None

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", flush=True)

    def _run(self, error: str) -> "Run":
        from openlineage.client.event_v2 import Run
        from openlineage.client.generated import error_message_run, parent_run, tags_run

        run = Run(self._run_id, facets={})
        assert run.facets is not None
        if parent := os.environ.get(RUN_VARIABLE):
            run.facets["parent"] = parent_run.ParentRunFacet(
                parent_run.Run(parent_run_id(parent)), parent_run.Job(NAMESPACE, FLOW)
            )
            run.facets["tags"] = tags_run.TagsRunFacet([tags_run.TagsRunFacetFields("run_id", parent, "WORLDMODEL")])
        if error:
            message = _without_places(error, self.root)
            run.facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(message, "PYTHON")
        return run

    def _job(self) -> "Job":
        """The stage, and the git blob of its module: a stage does not know its commit, but is run from its files."""
        from openlineage.client.event_v2 import Job
        from openlineage.client.generated import job_type_job, source_code_location_job

        path = f"flows/stages/{self.name}.py"
        content = (self.root / path).read_bytes()
        blob = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
        location = source_code_location_job.SourceCodeLocationJobFacet(
            type="git", url=f"urn:worldmodel:git-blob:{blob}", path=path, version=blob
        )
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="WORLDMODEL", jobType="STAGE")
        return Job(NAMESPACE, self.name, facets={"sourceCodeLocation": location, "jobType": kind})

    def _inputs(self, assertions: dict[str, Any]) -> "list[InputDataset]":
        from openlineage.client.event_v2 import InputDataset

        return [
            InputDataset(NAMESPACE, name, facets=_version(version), inputFacets=assertions)
            for name, version in self._read_versions.items()
        ]

    @cached_property
    def _read_versions(self) -> dict[str, str | None]:
        """What the stage reads: sha256 by name of each output's manifest, file or source; None where there is none."""
        stages = yaml.safe_load((self.root / "dvc.yaml").read_text())["stages"]
        versions: dict[str, str | None] = {}
        for dep in stages[self.name].get("deps", []):
            if dep.startswith("artifacts/"):
                versions[dep] = _sha256(self.root / dep / MANIFEST_FILE)
            elif dep.startswith("data/"):
                versions[dep] = _sha256(self.root / dep)
        if versions.get(_SOURCES):
            rows = json.loads((self.root / _SOURCES).read_text())["sources"]
            versions |= {f"source/{row['name']}": row["digest"] for row in rows}
        return versions

    def _outputs(self) -> "list[OutputDataset]":
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.generated import output_statistics_output_dataset as statistics

        folder = self.root / "artifacts" / self.name
        sizes = [file["bytes"] for file in read_manifest(folder)["files"].values()]
        size = statistics.OutputStatisticsOutputDatasetFacet(size=sum(sizes), fileCount=len(sizes))
        version = _version(file_sha256(folder / MANIFEST_FILE))
        facets: dict[str, OutputDatasetFacet] = {"outputStatistics": size}
        return [OutputDataset(NAMESPACE, f"artifacts/{self.name}", facets=version, outputFacets=facets)]


def _sha256(path: Path) -> str | None:
    return file_sha256(path) if path.is_file() else None


def _version(sha256: str | None) -> dict[str, Any]:
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    return {"version": DatasetVersionDatasetFacet(sha256)} if sha256 else {}


def _assertions(path: Path) -> dict[str, Any]:
    """What the verdict in a file says of the data that were judged; nothing where there is none."""
    from openlineage.client.generated import data_quality_assertions_dataset as quality

    suites = json.loads(path.read_text())["suites"] if path.is_file() else []
    rules = [(suite["name"], rule) for suite in suites for rule in suite["expectations"] if not rule["not_applicable"]]
    assertions = [
        quality.Assertion(
            assertion=rule["type"],
            success=rule["success"] is True,
            column=None if rule["column"].startswith("(") else rule["column"],
            name=f"{suite}: {rule['check']}",
        )
        for suite, rule in rules
    ]
    return {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(assertions)} if assertions else {}


def _without_places(text: str, root: Path) -> str:
    """An error's text without paths of this machine: of those outside the workspace only the last name is left."""
    return _ABSOLUTE.sub("", text.replace(f"{root}/", ""))
