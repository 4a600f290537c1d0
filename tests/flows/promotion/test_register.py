"""Registering: one version and one entry for one bundle, whoever asks and however often."""

from pathlib import Path

import pytest

from flows import registry
from flows.ledger.bodies import ModelRegistered
from flows.ledger.reading import bodies
from flows.promotion.promote import register
from flows.registry import DIGEST_TAG, Candidate
from tests.flows.promotion.stage import NAME, TRAINER, Stage, sha
from tests.flows.promotion.workers import context, register_at_once
from worldmodel.errors import RegistryError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own


def versions(stage: Stage, sha256: str) -> list[str]:
    """The versions of a bundle in the registry."""
    found = stage.client.search_model_versions(f"name = '{NAME}' and tags.`{DIGEST_TAG}` = '{sha256}'")
    return [str(version.version) for version in found]


def recorded(stage: Stage, sha256: str) -> list[str]:
    """The versions of a bundle in the ledger."""
    return [b.version for _, b in bodies(stage.ledger.entries(), ModelRegistered) if b.model_sha256 == sha256]


def again(stage: Stage, sha256: str) -> str:
    """Registers a bundle of which the registry has a version already."""
    candidate = Candidate(NAME, sha256, Path("/nowhere"), "0" * 32, {})
    return register(stage.ledger, stage.client, candidate, "run-x", {}, TRAINER)


def test_processes_that_register_the_same_bundle_at_once_make_one_version(stage: Stage) -> None:
    barrier = context().Barrier(4)
    given = (stage.ledger.url, stage.registry, sha("new"), barrier)
    processes = [context().Process(target=register_at_once, args=given) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert versions(stage, sha("new")) == recorded(stage, sha("new")) == ["51"]


def test_a_version_whose_run_was_killed_before_it_was_recorded_is_recorded_by_the_next(stage: Stage) -> None:
    assert recorded(stage, sha(10)) == []
    assert [again(stage, sha(10)), again(stage, sha(10))] == ["10", "10"]
    assert recorded(stage, sha(10)) == ["10"]
    assert str(stage.client.get_model_version_by_alias(NAME, "challenger").version) == "10"


def test_a_registry_with_another_model_under_a_known_version_is_refused(stage: Stage) -> None:
    stage.client.set_model_version_tag(NAME, "2", DIGEST_TAG, sha("another"))
    with pytest.raises(RegistryError, match="version 2 of toy is not the same model in the ledger and in the registry"):
        again(stage, sha("another"))
    assert recorded(stage, sha("another")) == []


def test_a_version_that_cannot_be_made_is_not_recorded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(candidate: Candidate) -> str:
        raise ConnectionRefusedError("no artifacts here")

    monkeypatch.setattr(registry, "_log_model", down)
    with pytest.raises(ConnectionRefusedError):
        again(stage, sha("new"))
    assert versions(stage, sha("new")) == recorded(stage, sha("new")) == []
