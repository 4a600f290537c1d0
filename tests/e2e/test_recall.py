"""A log is recalled after a model was trained on it, and a model is made again from its records alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Clone
from worldmodel.data.shards import ClipStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
MODEL = "worldmodel-debug"


@pytest.fixture(scope="module")
def log(clone: Clone, debug_run: dict[str, Any]) -> str:
    """A log that the champion was trained on."""
    clips = ClipStore(clone.workspace(debug_run) / "artifacts" / "prepare")
    return str(clips.row(clips.clip_ids("train")[0])["log_id"])


@pytest.fixture(scope="module")
def recalled(clone: Clone, debug_run: dict[str, Any], log: str) -> Iterator[dict[str, Any]]:
    """What the recall said. It is taken back at the end, and the first champion is champion again."""
    yield clone.run("data", "recall", log, "--reason", "consent withdrawn", "--yes")
    clone.run("data", "reinstate", log, "--reason", "the test is over")
    (found,) = clone.run("audit", "champion", MODEL)["models"]
    if found["now"]["model_sha256"] != debug_run["model"]["sha256"]:
        clone.run("rollback", MODEL, "--reason", "the test is over", "--accept-recalled")


@pytest.fixture(scope="module")
def retrained(clone: Clone, recalled: dict[str, Any]) -> dict[str, Any]:
    """The run after the recall."""
    return dict(clone.run("run", "--profile", "debug", expect=(0, 3)))


def test_a_recall_names_the_champion_and_proposes_a_retraining(
    clone: Clone, debug_run: dict[str, Any], recalled: dict[str, Any], log: str
) -> None:
    assert recalled["changed"] is True
    (model,) = [m for m in recalled["affected"] if m["model_sha256"] == debug_run["model"]["sha256"]]
    assert model["champion"] and model["splits"] == {"train": 1}
    (flag,) = clone.run("status")["flags"]
    assert log in flag["recalled"]
    (proposal,) = clone.run("audit", "ledger", "--kind", "retraining.proposed")
    assert "worldmodel run --profile debug" in proposal["body"]["command"]


def test_the_next_run_leaves_the_log_out_and_moves_no_other(
    clone: Clone, debug_run: dict[str, Any], retrained: dict[str, Any], log: str
) -> None:
    before, after = (ClipStore(clone.workspace(run) / "artifacts" / "prepare") for run in (debug_run, retrained))
    splits = [{store.row(c)["log_id"]: store.row(c)["split"] for c in store.clip_ids()} for store in (before, after)]
    assert splits[0].pop(log) == "train" and splits[1] == splits[0]
    seen = {model["model_sha256"] for model in clone.run("audit", "impact", log)["models"]}
    assert debug_run["model"]["sha256"] in seen and retrained["model"]["sha256"] not in seen


def test_all_of_it_verifies(clone: Clone, retrained: dict[str, Any]) -> None:
    assert clone.run("audit", "verify")["findings"] == []


def test_a_model_made_again_from_its_records_has_the_same_weights(clone: Clone, debug_run: dict[str, Any]) -> None:
    found = clone.run("audit", "rebuild", f"{MODEL}/{debug_run['model']['version']}")
    assert found["verdict"] == "identical" and all(stage["identical"] for stage in found["stages"])
