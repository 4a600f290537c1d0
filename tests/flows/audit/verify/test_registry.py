"""The registry against the ledger: on a stand-in for what is said, and on a real MLflow store for how it is asked."""

from pathlib import Path

import pytest

from flows import registered
from flows.audit.verify.evidence import HeldVersion
from flows.audit.verify.registry import MlflowRegistry
from flows.bundle import bundle_folders
from flows.ledger.bodies import PromotionIntended
from flows.tracking import connect
from tests.flows.audit.verify.tampering import verdict_on
from tests.flows.history import MODEL, History
from worldmodel.errors import RegistryError


class Held:
    """A registry in memory."""

    def __init__(self, made: History) -> None:
        self.alias: str | None = "3"
        self.held = {run.model["version"]: run.model["sha256"] for run in made.runs}
        self.damaged: dict[str, str] = {}
        self.down = False

    def champion(self, name: str) -> str | None:
        if self.down:
            raise RegistryError("the model registry does not do what it should", got="connection refused")
        return self.alias

    def versions(self, name: str) -> list[HeldVersion]:
        return [HeldVersion(version, sha256) for version, sha256 in self.held.items()]

    def damage(self, name: str, version: str) -> str:
        return self.damaged.get(version, "")


@pytest.fixture
def held(pristine: History) -> Held:
    return Held(pristine)


def found(made: History, registry: Held) -> list[tuple[str, str]]:
    return [(one.what, one.where) for one in verdict_on(made, registry=registry).findings]


def test_a_registry_that_agrees_gives_no_finding(pristine: History, held: Held) -> None:
    assert found(pristine, held) == []


@pytest.mark.parametrize("alias", ["1", None])
def test_an_alias_that_was_moved_by_hand_is_found(pristine: History, held: Held, alias: str | None) -> None:
    held.alias = alias
    verdict = verdict_on(pristine, registry=held)
    (only,) = verdict.findings
    assert (only.what, only.where) == ("registry/alias", "registry: toy@champion")
    assert only.sentence == f"the champion's version: expected 3, got {alias or 'none'}"


def test_versions_that_are_gone_added_or_tagged_otherwise_are_found(pristine: History, held: Held) -> None:
    del held.held["1"]
    held.held |= {"2": "a" * 64, "4": "b" * 64, "5": ""}  # 5 is not of this platform
    assert found(pristine, held) == [
        ("registry/missing", "registry: toy version 1"),
        ("registry/tag", "registry: toy version 2"),
        ("registry/unrecorded", "registry: toy version 4"),
    ]


def test_damaged_bytes_are_found(pristine: History, held: Held) -> None:
    held.damaged["3"] = "other bytes"
    assert found(pristine, held) == [("registry/changed", "registry: toy version 3")]


def test_a_registry_that_is_down_is_a_note_and_no_finding(pristine: History, held: Held) -> None:
    held.down = True
    verdict = verdict_on(pristine, registry=held)
    assert verdict.findings == []
    assert ["connection refused" in note.sentence for note in verdict.notes] == [True]


def test_the_registry_is_not_asked_when_it_has_to_be_quick(pristine: History, held: Held) -> None:
    held.alias = "1"
    assert verdict_on(pristine, quick=True, registry=held).findings == []


def test_an_alias_in_the_middle_of_a_promotion_is_a_note(history: History) -> None:
    first, third = history.runs[0].model, history.runs[2].model
    body = PromotionIntended(
        promotion="now",
        name=MODEL,
        version="1",
        model_sha256=first["sha256"],
        from_version="3",
        from_sha256=third["sha256"],
        cause="rollback",
        reason="noise",
    )
    history.ledger.append(body, "somebody")
    for alias in ("3", "1"):
        held = Held(history)
        held.alias = alias
        verdict = verdict_on(history, registry=held)
        assert verdict.findings == []
        assert any("is not settled yet" in note.sentence for note in verdict.notes)


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_mlflow_is_asked_for_aliases_tags_and_the_bytes_of_every_part(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    client = connect()
    experiment = client.create_experiment("tests", (tmp_path / "store").as_uri())
    client.create_registered_model(MODEL)
    for run in history.runs:
        made = client.create_run(experiment).info.run_id
        for name, folder in bundle_folders(history.workspace(run) / "artifacts").items():
            client.log_artifacts(made, str(folder), f"model/artifacts/{Path(folder).name}")
            assert name in run.model["parts"]
        tags = {f"{registered.PART_TAG}{part}": sha256 for part, sha256 in run.model["parts"].items()}
        tags |= {"worldmodel.model_sha256": run.model["sha256"], "worldmodel.run_id": run.run_id}
        client.create_model_version(MODEL, f"{tmp_path / 'store'}/{made}/artifacts/model", made, tags=tags)
    client.set_registered_model_alias(MODEL, "champion", "3")
    assert verdict_on(history, registry=MlflowRegistry()).findings == []
    client.set_registered_model_alias(MODEL, "champion", "2")
    weights = next((tmp_path / "store").rglob("train_worldrec/model.safetensors"))
    weights.write_bytes(b"other weights")
    found_ = verdict_on(history, registry=MlflowRegistry()).findings
    assert sorted(one.what for one in found_) == ["registry/alias", "registry/changed"]
