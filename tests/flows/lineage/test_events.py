"""OpenLineage events of a stage: what they say, and that no server on the way can hurt a stage."""

import json
import platform
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import attr
import pytest
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated import (
    base,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    source_code_location_job,
    tags_run,
)
from openlineage.client.serde import Serde

from flows.git import git
from flows.lineage import server as server_module
from flows.lineage.events import StageEvents, ended_with, of_run, parent_run_id, time_text
from flows.manifest import file_sha256, write_manifest
from worldmodel.errors import DataError, UnfitDataError

FACETS: dict[str, type[base.BaseFacet]] = {
    "parent": parent_run.ParentRunFacet,
    "tags": tags_run.TagsRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which `validate` may run, with the output that it reads."""
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_API_KEY", "WORLDMODEL_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "workspace"
    for folder in ("flows/stages", "run/validate", "run/prepare", "artifacts/prepare", "artifacts/validate", "data"):
        (root / folder).mkdir(parents=True)
    (root / "flows" / "stages" / "validate.py").write_text("pass\n")
    (root / "flows" / "stages" / "prepare.py").write_text("pass\n")
    (root / "dvc.yaml").write_text(
        "stages:\n  prepare: {deps: [data/sources.json, flows/stage.py]}\n"
        "  validate: {deps: [artifacts/prepare, flows/stage.py]}\n"
    )
    (root / "artifacts" / "prepare" / "clips.parquet").write_text("clips")
    write_manifest(root / "artifacts" / "prepare", "prepare")
    return root


def finish(root: Path) -> str:
    """Leaves an output of `validate`; the digest of its manifest."""
    folder = root / "artifacts" / "validate"
    if not (folder / "verdict.json").exists():
        (folder / "verdict.json").write_text(json.dumps({"suites": []}))
    write_manifest(folder, "validate")
    return file_sha256(folder / "manifest.json")


def written(root: Path, stage: str = "validate") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "run" / stage / "events.ndjson").read_text().splitlines()]


def test_a_stage_says_from_what_it_starts_and_with_what_it_ends(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDMODEL_RUN_ID", "20260101-000000-abcd")
    events = StageEvents("validate", workspace)
    events.start()
    sha256 = finish(workspace)
    events.complete()
    start, end = written(workspace)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["job"]["namespace"] == "worldmodel" and start["job"]["name"] == "validate"
    assert start["run"]["runId"] == end["run"]["runId"] and UUID(end["run"]["runId"]).version == 7
    parent = {"namespace": "worldmodel", "name": "lifecycle", "facets": {}}
    for event in (start, end):
        (read,) = event["inputs"]
        assert read["name"] == "artifacts/prepare"
        manifest = workspace / "artifacts" / "prepare" / "manifest.json"
        assert read["facets"]["version"]["datasetVersion"] == file_sha256(manifest)
        assert event["run"]["facets"]["parent"]["job"] == parent
        assert event["run"]["facets"]["parent"]["run"]["runId"] == parent_run_id("20260101-000000-abcd")
        assert event["run"]["facets"]["tags"]["tags"][0]["value"] == "20260101-000000-abcd"
    (made,) = end["outputs"]
    assert start["outputs"] == [] and made["name"] == "artifacts/validate"
    assert made["facets"]["version"]["datasetVersion"] == sha256
    assert made["outputFacets"]["outputStatistics"]["fileCount"] == 1
    assert start["eventTime"] <= end["eventTime"] and end["producer"] == "urn:worldmodel:stage"


def test_the_code_is_named_as_git_names_it(workspace: Path) -> None:
    StageEvents("validate", workspace).start()
    (start,) = written(workspace)
    location = start["job"]["facets"]["sourceCodeLocation"]
    git(workspace, "init", "--quiet")
    assert location["version"] == git(workspace, "hash-object", "flows/stages/validate.py")
    assert location["path"] == "flows/stages/validate.py"


def test_prepare_reads_its_sources_by_their_digests(workspace: Path) -> None:
    rows = [{"name": "drives", "digest": "5" * 64}, {"name": "synthetic", "digest": None}]
    (workspace / "data" / "sources.json").write_text(json.dumps({"version": 1, "sources": rows}))
    StageEvents("prepare", workspace).start()
    (start,) = written(workspace, "prepare")
    versions = {read["name"]: read["facets"].get("version", {}).get("datasetVersion") for read in start["inputs"]}
    sources = file_sha256(workspace / "data" / "sources.json")
    assert versions == {"data/sources.json": sources, "source/drives": "5" * 64, "source/synthetic": None}


def test_an_input_that_is_not_there_has_no_version(workspace: Path) -> None:
    (workspace / "artifacts" / "prepare" / "manifest.json").unlink()
    StageEvents("validate", workspace).start()
    assert written(workspace)[0]["inputs"][0]["facets"] == {}


def test_a_failure_says_why_and_names_no_place_of_this_machine(workspace: Path) -> None:
    events = StageEvents("validate", workspace)
    events.start()
    what = f"{workspace}/artifacts/prepare/clips.parquet: damaged; see /home/somebody/notes.txt and https://a.b/c/d"
    events.fail(DataError(what, fix="make it anew"))
    end = written(workspace)[-1]
    assert end["eventType"] == "FAIL" and end["outputs"] == []
    message = end["run"]["facets"]["errorMessage"]["message"]
    assert message.splitlines()[0] == (
        "DataError: artifacts/prepare/clips.parquet: damaged; see notes.txt and https://a.b/c/d"
    )
    text = (workspace / "run" / "validate" / "events.ndjson").read_text()
    for private in (str(workspace), str(Path.home()) + "/", "/home/", platform.node()):
        assert private not in text


def test_a_stage_that_was_told_to_stop_ends_in_abort(workspace: Path) -> None:
    events = StageEvents("validate", workspace)
    events.start()
    events.abort()
    assert [event["eventType"] for event in written(workspace)] == ["START", "ABORT"]


def test_a_stage_that_could_not_start_says_nothing(workspace: Path) -> None:
    StageEvents("validate", workspace).fail(DataError("no params"))
    assert not (workspace / "run" / "validate" / "events.ndjson").exists()


RULES = [
    {"check": "complete", "type": "expect_column_values_to_not_be_null", "column": "clip_id", "success": True},
    {"check": "enough clips", "type": "expect_table_row_count_to_be_between", "column": "(table)", "success": False},
    {"check": "of depth", "type": "expect_column_values_to_be_between", "column": "depth", "success": True},
]
VERDICT = {
    "suites": [{"name": "clips", "expectations": [{**rule, "not_applicable": rule is RULES[2]} for rule in RULES]}]
}


def test_a_verdict_on_data_is_in_the_events_be_it_good_or_bad(workspace: Path) -> None:
    expected = [
        {
            "assertion": "expect_column_values_to_not_be_null",
            "success": True,
            "column": "clip_id",
            "name": "clips: complete",
        },
        {"assertion": "expect_table_row_count_to_be_between", "success": False, "name": "clips: enough clips"},
    ]
    events = StageEvents("validate", workspace)
    events.start()
    (workspace / "run" / "validate" / "verdict.json").write_text(json.dumps(VERDICT))
    events.fail(UnfitDataError("unfit"))
    (workspace / "artifacts" / "validate" / "verdict.json").write_text(json.dumps(VERDICT))
    finish(workspace)
    events.complete()
    start, *ends = written(workspace)
    assert start["inputs"][0]["inputFacets"] == {}
    for end in ends:
        found = end["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
        assert [{key: value for key, value in row.items() if key != "params"} for row in found] == expected


def test_whose_events_they_are_can_be_told(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_RUN_ID", "r1")
    events = StageEvents("validate", workspace)
    events.start()
    path = workspace / "run" / "validate" / "events.ndjson"
    assert of_run(path.read_text(), "r1") and not of_run(path.read_text(), "r2")
    sha256 = finish(workspace)
    assert not ended_with(path.read_text(), sha256)
    events.complete()
    assert ended_with(path.read_text(), sha256) and not ended_with(path.read_text(), "0" * 64)
    torn = path.read_text() + '{"eventType": "STA'
    assert ended_with(torn, sha256) and not of_run("", "r1")


def test_events_are_taken_by_openlineages_own_types(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_RUN_ID", "r1")
    events = StageEvents("validate", workspace)
    events.start()
    (workspace / "artifacts" / "validate" / "verdict.json").write_text(json.dumps(VERDICT))
    finish(workspace)
    events.complete()
    events.fail(DataError("it failed"))
    seen = set()
    for event in written(workspace):
        rebuilt = RunEvent(
            eventType=RunState[event["eventType"]],
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=Run(event["run"]["runId"], _facets(event["run"]["facets"])),
            job=Job(event["job"]["namespace"], event["job"]["name"], _facets(event["job"]["facets"])),
            inputs=[
                InputDataset(
                    d["namespace"], d["name"], facets=_facets(d["facets"]), inputFacets=_facets(d["inputFacets"])
                )
                for d in event["inputs"]
            ],
            outputs=[
                OutputDataset(
                    d["namespace"], d["name"], facets=_facets(d["facets"]), outputFacets=_facets(d["outputFacets"])
                )
                for d in event["outputs"]
            ],
        )
        assert Serde.to_dict(rebuilt) == event
        seen |= {
            name
            for dataset in [event["run"], event["job"], *event["inputs"], *event["outputs"]]
            for name in _names(dataset)
        }
    assert seen == set(FACETS)


def _names(value: dict[str, Any]) -> list[str]:
    return [name for key in ("facets", "inputFacets", "outputFacets") for name in value.get(key, {})]


def _facets(found: dict[str, Any]) -> dict[str, Any]:
    """Facets as objects of their classes; an unknown or a missing field raises TypeError."""
    return {name: _as(FACETS[name], facet) for name, facet in found.items()}


def _as(kind: type[Any], value: dict[str, Any]) -> Any:
    if issubclass(kind, base.BaseFacet):
        assert value["_schemaURL"] == kind._get_schema()
    names = {field.name: field.alias for field in attr.fields(kind)}
    return kind(**{names[key] or key: item for key, item in value.items() if key != "_schemaURL"})


@contextmanager
def serving(status: int = 201, seconds: float = 0.0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server's URL, and the requests that it got."""
    got: list[dict[str, Any]] = []
    woken = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"path": self.path, "key": self.headers.get("Authorization"), "event": json.loads(body)})
            woken.wait(seconds)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        woken.set()
        server.shutdown()
        thread.join()
        server.server_close()


def run_with(workspace: Path, monkeypatch: pytest.MonkeyPatch, url: str, api_key: str = "") -> float:
    """A whole stage's events with a server at `url`; how long they took."""
    monkeypatch.setenv("OPENLINEAGE_URL", url)
    monkeypatch.setenv("OPENLINEAGE_API_KEY", api_key)
    started = time.monotonic()
    events = StageEvents("validate", workspace)
    events.start()
    finish(workspace)
    events.complete()
    assert [event["eventType"] for event in written(workspace)] == ["START", "COMPLETE"], "the file has them always"
    return time.monotonic() - started


def test_a_server_gets_the_events_and_the_key_is_nowhere_else(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    with serving() as (url, got):
        run_with(workspace, monkeypatch, url, "s3cret-key")
    assert [request["event"] for request in got] == written(workspace)
    assert {(request["path"], request["key"]) for request in got} == {("/api/v1/lineage", "Bearer s3cret-key")}
    text = (workspace / "run" / "validate" / "events.ndjson").read_text()
    assert "s3cret" not in "".join([text, *capfd.readouterr(), caplog.text])


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_refuses_is_named_once(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    with serving(status) as (url, got):
        run_with(workspace, monkeypatch, url.replace("//", "//somebody:s3cret@"), "s3cret-key")
    said = capsys.readouterr().out
    assert said == (
        f"validate: the OpenLineage server at {url} did not take an event (HTTPError {status}); "
        "the events are in run/validate/events.ndjson alone\n"
    )
    assert len(got) == 1, "and is not asked again"


def test_a_server_that_is_down_or_is_none_is_named_once(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        assert run_with(workspace, monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}") < 2
    assert capsys.readouterr().out.count("did not take an event (ConnectionError)") == 1
    (workspace / "run" / "validate" / "events.ndjson").unlink()
    run_with(workspace, monkeypatch, "not a url")
    assert capsys.readouterr().out.count("at a URL that is none did not take an event (ValueError)") == 1


def test_a_server_that_is_slow_costs_no_more_than_the_patience_for_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_S", 0.3)
    with serving(seconds=20.0) as (url, _):
        assert run_with(workspace, monkeypatch, url) < 1.5
    said = capsys.readouterr().out
    assert said.count("OpenLineage server") == 1


def test_times_are_spelled_as_in_the_ledger() -> None:
    assert time_text(0) == "1970-01-01T00:00:00.000000Z"
    assert time_text(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"


def test_a_disk_that_takes_no_events_is_said_and_fails_no_stage(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "run" / "validate" / "events.ndjson").symlink_to("/dev/full")
    StageEvents("validate", workspace).start()
    assert capsys.readouterr().out == "validate: events.ndjson could not be written: No space left on device\n"
