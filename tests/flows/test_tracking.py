"""The MLflow mirror: idempotent by step, linked when cached, and never in the way."""

import json
from pathlib import Path

import pytest

from flows.tracking import Tracker, connect, flatten, read_metrics

ENTRY = {
    "cmd": "python -m flows.stages.one",
    "deps": [
        {"path": "artifacts/zero", "md5": "0123456789abcdef0123456789abcdef.dir"},
        {"path": "x.py", "md5": "1" * 32},
    ],
    "outs": [{"path": "artifacts/one", "md5": "2" * 32}],
}


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path))
    tracker = Tracker(lambda text: pytest.fail(text))
    tracker.start("run-1", {"worldmodel.run_id": "run-1"})
    return tracker


def append(run_dir: Path, *steps: int) -> None:
    run_dir.mkdir(exist_ok=True)
    with (run_dir / "metrics.jsonl").open("a") as stream:
        for step in steps:
            stream.write(json.dumps({"step": step, "time": 100.0 + step, "values": {"loss": 1.0 / (step + 1)}}) + "\n")


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_a_stage_is_mirrored_once_however_often_it_goes_on(tracker: Tracker, tmp_path: Path) -> None:
    run_dir, output = tmp_path / "run", tmp_path / "out"
    output.mkdir()
    (output / "manifest.json").write_text("{}")
    append(run_dir, 0, 1)
    mirror = tracker.stage("one", {"seed": 7, "one": {"lr": 0.1}}, run_dir)
    mirror.poll(now=True)
    append(run_dir, 1, 2)  # went on from step 1
    (run_dir / "metrics.jsonl").open("a").write('{"step": 3, "time"')
    mirror.close("ran", ENTRY, output)
    client = connect()
    history = client.get_metric_history(mirror.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    run = client.get_run(mirror.run_id)
    assert run.data.params == {"seed": "7", "one.lr": "0.1"}
    assert run.data.tags["mlflow.parentRunId"] == tracker.parent and run.info.status == "FINISHED"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("artifacts/zero", ENTRY["deps"][0]["md5"])
    for entry in (ENTRY, {**ENTRY, "cmd": "another"}):
        tracker.cached("one", entry)
    newest = client.search_runs([run.info.experiment_id], order_by=["attributes.start_time DESC"], max_results=2)
    assert [child.data.tags.get("worldmodel.made_by_run") for child in newest] == [None, mirror.run_id]


def test_mlflow_that_is_down_is_said_once_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said: list[str] = []
    tracker = Tracker(said.append)
    tracker.start("run-1", {})
    append(tmp_path / "run", 0)
    mirror = tracker.stage("one", {}, tmp_path / "run")
    mirror.poll(now=True)
    mirror.close("ran", ENTRY, tmp_path)
    tracker.cached("one", ENTRY)
    tracker.finish("FINISHED", {})
    assert len(said) == 1 and "not mirrored" in said[0]


def test_a_line_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    append(tmp_path, 0)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 1')
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0]
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_nested_params_become_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None}) == {"a.b.c": 1, "a.d": [1, 2], "e": None}
