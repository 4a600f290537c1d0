"""MLflow as the mirror of what happened: one parent run a lifecycle run, one child a stage.

The stages' own files are the truth; MLflow being down is said once and stops nothing. Every write is idempotent, so a
stage that goes on after a stop repeats nothing.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from flows.environment import STATE_VARIABLE
from flows.manifest import MANIFEST_FILE, digest
from flows.stage import METRICS_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "worldmodel"
MIRROR_EVERY_S = 5.0
_MAX_BATCH = 900  # MLflow takes 1000 metrics a request


def connect() -> "MlflowClient":
    """A client of the server or store that `MLFLOW_TRACKING_URI` names; quiet, and quick to give up."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient()


class Tracker:
    """The MLflow side of one lifecycle run."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn, self._warned = warn, False
        self.client: MlflowClient | None = None
        self.parent: str | None = None
        self._experiment = ""

    def start(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Opens the parent run."""

        def open_parent() -> None:
            self.client = connect()
            embedded = not os.environ["MLFLOW_TRACKING_URI"].startswith("http")
            self._experiment = experiment(self.client, Path(os.environ[STATE_VARIABLE]) if embedded else None)
            self.parent = self.client.create_run(self._experiment, run_name=run_id, tags=dict(tags)).info.run_id

        self._try(open_parent)

    def stage(self, name: str, params: Mapping[str, Any], run_dir: Path) -> "StageMirror":
        """Opens a child run for a stage that is about to run."""
        mirror = StageMirror(self, name, run_dir)
        self._try(lambda: mirror.open(params))
        return mirror

    def cached(self, name: str, entry: Mapping[str, Any]) -> None:
        """A child run for a stage that did not run, linked to the run that made its output."""

        def link() -> None:
            client, parent = self._connected()
            tags = {"mlflow.parentRunId": parent, "worldmodel.stage": name, "worldmodel.outcome": "cached"}
            tags |= self._origin(entry)
            child = client.create_run(self._experiment, run_name=name, tags=tags).info.run_id
            client.set_terminated(child)

        self._try(link)

    def finish(self, status: str, tags: Mapping[str, str]) -> None:
        """Closes the parent run."""

        def close() -> None:
            client, parent = self._connected()
            for key, value in tags.items():
                client.set_tag(parent, key, value)
            client.set_terminated(parent, status)

        if self.parent:
            self._try(close)

    def log_artifacts(self, source: Path, to: str | None = None) -> None:
        """Copies a file, or a folder of files, to the parent run."""

        def copy() -> None:
            client, parent = self._connected()
            (client.log_artifacts if source.is_dir() else client.log_artifact)(parent, str(source), to)

        self._try(copy)

    def _origin(self, entry: Mapping[str, Any]) -> dict[str, str]:
        """The tag that names the run whose stage made what the lock entry describes; none if MLflow has no such run."""
        client, _ = self._connected()
        query = f"tags.`worldmodel.lock_digest` = '{digest(entry)}' and tags.`worldmodel.outcome` = 'ran'"
        runs = client.search_runs([self._experiment], query, max_results=1)
        return {"worldmodel.made_by_run": runs[0].info.run_id} if runs else {}

    def _connected(self) -> tuple["MlflowClient", str]:
        if self.client is None or self.parent is None:
            raise ConnectionError("no MLflow run was opened")
        return self.client, self.parent

    def _try(self, action: Callable[[], Any]) -> Any:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return action()
        except (MlflowException, SQLAlchemyError, requests.RequestException, OSError) as error:
            if not self._warned:
                self._warn(f"MLflow does not answer, so this run is not mirrored there: {str(error)[:200]}")
                self._warned = True
            return None


class StageMirror:
    """Follows a stage's `metrics.jsonl` into its MLflow run while it grows."""

    def __init__(self, tracker: Tracker, name: str, run_dir: Path) -> None:
        self._tracker, self._name, self._path = tracker, name, run_dir / METRICS_FILE
        self._seen: set[tuple[str, int]] = set()
        self._last = 0.0
        self.run_id: str | None = None

    def open(self, params: Mapping[str, Any]) -> None:
        """Creates the child run with the stage's params, flattened to dotted keys."""
        from mlflow.entities import Param

        client, parent = self._tracker._connected()
        tags = {"mlflow.parentRunId": parent, "worldmodel.stage": self._name}
        self.run_id = client.create_run(self._tracker._experiment, run_name=self._name, tags=tags).info.run_id
        flat = [Param(key, str(value)) for key, value in flatten(params).items()]
        client.log_batch(self.run_id, params=flat)

    def poll(self, *, now: bool = False) -> None:
        """Mirrors what is new, at most every few seconds unless `now`."""
        if self.run_id and (now or time.monotonic() - self._last > MIRROR_EVERY_S):
            self._last = time.monotonic()
            self._tracker._try(self._mirror)

    def _mirror(self) -> None:
        from mlflow.entities import Metric

        client, _ = self._tracker._connected()
        new = [
            Metric(key, value, int(line["time"] * 1000), line["step"])
            for line in read_metrics(self._path)
            for key, value in line["values"].items()
            if (key, line["step"]) not in self._seen
        ]
        for first in range(0, len(new), _MAX_BATCH):
            batch = new[first : first + _MAX_BATCH]
            client.log_batch(str(self.run_id), metrics=batch)
            self._seen |= {(metric.key, metric.step) for metric in batch}

    def close(self, outcome: str, entry: Mapping[str, Any] | None = None, output: Path | None = None) -> None:
        """Ends the child run; a finished stage leaves its manifest, its inputs with digests and its lock digest."""

        def end() -> None:
            client, _ = self._tracker._connected()
            run = str(self.run_id)
            tags = {"worldmodel.outcome": outcome}
            if entry is not None and output is not None:
                tags["worldmodel.lock_digest"] = digest(entry)
                tags |= self._tracker._origin(entry) if outcome != "ran" else {}
                client.log_inputs(run, datasets=_inputs(entry))
                client.log_artifact(run, str(output / MANIFEST_FILE))
                for picture in sorted((output / "pictures").glob("*")):
                    client.log_artifact(run, str(picture), "pictures")
            for key, value in tags.items():
                client.set_tag(run, key, value)
            client.set_terminated(run, "FINISHED" if entry is not None else "FAILED")

        if self.run_id:
            self.poll(now=True)
            self._tracker._try(end)


def experiment(client: "MlflowClient", state: Path | None) -> str:
    """The id of the platform's experiment, made if it is not there.

    With `state`, its artifacts lie in that directory, where runs with and without a server of `worldmodel up` find
    them.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        location = None if state is None else (state / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=location))
        except MlflowException:  # another run made it meanwhile
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    return str(found.experiment_id)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a `metrics.jsonl`; a line still being written is left for later."""
    if not path.is_file():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _inputs(entry: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(dep["path"], dep["md5"], "dvc", json.dumps({"dvc": dep["path"]})),
            [InputTag("mlflow.data.context", "input")],
        )
        for dep in entry.get("deps", [])
        if dep["path"].startswith(("artifacts/", "data/"))
    ]
