"""A champion of other data: it is measured on the challenger's before the gate compares, and by hand at any time."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.records import read_gate_inputs, read_report
from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def second(clone: Clone, debug_run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A run on more logs, after the first one's model became champion, as which it is left."""
    profile = clone.root / "profiles" / "debug.yaml"
    kept = profile.read_text()
    profile.write_text(kept.replace("synthetic: {logs: 10,", "synthetic: {logs: 12,"))
    try:
        record = dict(clone.run("run", "--profile", "debug", expect=(0, 3)))
    finally:
        profile.write_text(kept)
    yield record
    if record["status"] == "promoted":
        clone.run("rollback", "worldmodel-debug", "--reason", "the other tests know the first champion")


def test_the_champion_was_measured_on_the_challengers_data(
    clone: Clone, debug_run: dict[str, Any], second: dict[str, Any]
) -> None:
    inputs = read_gate_inputs(clone.state / "runs" / second["run_id"] / "gate-inputs.json")
    first = read_report(clone.workspace(debug_run) / "artifacts" / "evaluate" / "report.json")
    assert inputs.report is not None and inputs.champion_report is not None and inputs.comparison is not None
    assert inputs.champion_report.model.sha256 == debug_run["model"]["sha256"] == first.model.sha256
    assert inputs.champion_report.data == inputs.report.data != first.data
    assert inputs.champion_report.protocol_fingerprint == inputs.report.protocol_fingerprint
    assert {d.verdict for d in inputs.comparison.differences} <= {"better", "worse", "cannot tell"}


def test_the_gate_explains_its_reasons_and_a_replay_changes_nothing(clone: Clone, second: dict[str, Any]) -> None:
    explained = clone.run("gate", "explain", second["run_id"])
    assert explained["verdict"] in ("promote", "refuse") and len(explained["rules"]) > 10
    replayed = clone.run("gate", "replay", "--params", str(clone.root / "profiles" / "debug.yaml"))
    assert replayed
    status = clone.run("status")
    assert status["champions"]["worldmodel-debug"]["sha256"] in {
        second["model"]["sha256"],
        explained["evidence"]["champion_sha256"],
    }


def test_a_registered_version_measured_again_gives_the_same_bytes(clone: Clone, debug_run: dict[str, Any]) -> None:
    version = f"worldmodel-debug/{debug_run['model']['version']}"
    found = clone.run("evaluate", version, "--run", debug_run["run_id"])
    directory = Path(found["directory"])
    before = {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    own = read_report(clone.workspace(debug_run) / "artifacts" / "evaluate" / "report.json")
    again = read_report(directory / "report.json")
    assert again.data == own.data and again.groups == own.groups
    for path in sorted(directory.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    directory.rmdir()
    shutil.rmtree(clone.state / "cache" / "runs")  # or DVC would only bring back what it has
    clone.run("evaluate", version, "--run", debug_run["run_id"])
    assert {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
