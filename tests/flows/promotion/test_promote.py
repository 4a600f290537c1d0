"""One promotion: what is recorded, what is refused, and what an outage leaves behind."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from flows import stores
from flows.ledger.bodies import PromotionIntended
from flows.ledger.reading import body_of
from flows.ledger.standing import champions
from flows.ledger.store import Ledger
from flows.promotion import lock
from flows.promotion.policy import PromotionPolicy
from flows.promotion.promote import promote, promoted
from flows.promotion.reconcile import reconcile
from flows.registry import DIGEST_TAG
from tests.flows.promotion.stage import NAME, Faulty, Stage, client_of, promotion, sha
from worldmodel.errors import LedgerError, RegistryError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits long."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(stores, "_WAIT_S", 0.2)
    monkeypatch.setattr(lock, "TIMEOUT_S", 0.2)


def test_a_promotion_is_recorded_before_and_after_the_alias_moves(stage: Stage) -> None:
    seen: list[list[str]] = []
    client: Any = Faulty(stage.client, before={"set_registered_model_alias": lambda: seen.append(stage.kinds())})
    stage.client.set_registered_model_alias(NAME, "challenger", "1")
    entries = promote(stage.ledger, client, promotion(1, None, run_id="run-1", decision_sha256=sha("d")), "alice")
    assert seen == [["promotion.intended"]]
    assert [entry.kind for entry in entries] == ["promotion.intended", "promotion.completed"]
    intent = body_of(entries[0], PromotionIntended)
    assert (intent.version, intent.from_version, intent.from_sha256, intent.cause) == ("1", None, None, "gate")
    assert (intent.run_id, intent.decision_sha256, entries[0].actor) == ("run-1", sha("d"), "alice")
    assert stage.serving() == "1"
    assert "challenger" not in stage.client.get_registered_model(NAME).aliases

    intent = promoted(promote(stage.ledger, stage.client, promotion(3, 1), "alice"))
    assert (intent.from_version, intent.from_sha256) == ("1", sha(1))
    stage.assert_agrees()
    assert stage.moves() == ["1", "3"]


def test_a_decision_about_another_champion_moves_and_records_nothing(stage: Stage) -> None:
    promote(stage.ledger, stage.client, promotion(1, None), "alice")
    head = stage.ledger.head()
    for expected, said in ((None, "no version"), (2, "version 2")):
        with pytest.raises(RegistryError, match="the champion of toy changed") as caught:
            promote(stage.ledger, stage.client, promotion(3, expected), "bob")
        assert (caught.value.expected, caught.value.got) == (said, "version 1")
    with pytest.raises(RegistryError, match="version 1 of toy is champion already"):
        promote(stage.ledger, stage.client, promotion(1, 1), "bob")
    assert stage.ledger.head() == head and stage.moves() == ["1"]


def test_only_what_ledger_and_registry_know_as_the_same_model_is_promoted(stage: Stage) -> None:
    client = stage.client
    with pytest.raises(RegistryError, match="the ledger does not know version 7 of toy"):
        promote(stage.ledger, client, promotion(7, None), "alice")
    stage.know([99])
    with pytest.raises(RegistryError, match="the registry has no version 99 of toy"):
        promote(stage.ledger, client, promotion(99, None), "alice")
    client.set_model_version_tag(NAME, "2", DIGEST_TAG, sha("another"))
    with pytest.raises(RegistryError, match="version 2 of toy is not the same model") as caught:
        promote(stage.ledger, client, promotion(2, None), "alice")
    assert caught.value.got == f"sha256 {sha('another')}"
    assert stage.kinds() == [] and stage.moves() == []


def test_a_gate_alone_does_not_promote_what_needs_approvals(stage: Stage) -> None:
    with pytest.raises(RegistryError, match="version 1 of toy may not be promoted") as caught:
        promote(stage.ledger, stage.client, promotion(1, None, policy=PromotionPolicy(approvals=2)), "alice")
    assert caught.value.got == "the gate alone may not promote it: the policy asks for 2 approvals"
    assert stage.kinds() == [] and stage.moves() == []


def test_with_mlflow_down_nothing_is_recorded_and_the_ledger_goes_on(stage: Stage, impatient: None) -> None:
    with pytest.raises(RegistryError, match="the model registry does not do what it should"):
        promote(stage.ledger, client_of(NOWHERE), promotion(1, None), "alice")
    with pytest.raises(RegistryError, match="the model registry does not do what it should"):
        reconcile(stage.ledger, client_of(NOWHERE), NAME, "alice")
    assert stage.kinds() == []
    stage.know([9])
    stage.assert_agrees()


def test_an_outage_after_the_intent_leaves_it_open_and_says_how_to_go_on(stage: Stage, impatient: None) -> None:
    def unplugged() -> None:
        client_of(NOWHERE).set_registered_model_alias(NAME, "champion", "1")

    client: Any = Faulty(stage.client, before={"set_registered_model_alias": unplugged})
    with pytest.raises(RegistryError, match="MLflow did not confirm that version 1 of toy is champion") as caught:
        promote(stage.ledger, client, promotion(1, None), "alice")
    assert "the ledger holds" in caught.value.fix and "worldmodel audit reconcile" in caught.value.fix
    assert stage.kinds() == ["promotion.intended"] and stage.serving() is None
    assert [entry.kind for entry in reconcile(stage.ledger, stage.client, NAME, "bob")] == ["promotion.abandoned"]
    stage.assert_agrees()
    promote(stage.ledger, stage.client, promotion(1, None), "alice")
    stage.assert_agrees()


def test_an_answer_that_was_lost_is_found_by_the_next_promotion(stage: Stage, impatient: None) -> None:
    def unplugged() -> None:
        client_of(NOWHERE).search_registered_models()

    client: Any = Faulty(stage.client, after={"set_registered_model_alias": unplugged})
    with pytest.raises(RegistryError, match="MLflow did not confirm"):
        promote(stage.ledger, client, promotion(1, None), "alice")
    promote(stage.ledger, stage.client, promotion(2, 1), "bob")
    intended, completed = "promotion.intended", "promotion.completed"
    assert stage.kinds() == [intended, completed, intended, completed]
    by = [entry.body["by"] for entry in stage.ledger.entries(kinds=(completed,)) if entry.body]
    assert by == ["reconciler", "promoter"]
    stage.assert_agrees()


def test_nothing_moves_while_another_holds_the_lock(stage: Stage, impatient: None) -> None:
    other = Ledger.open(stage.ledger.url)
    with other.lock(f"model {NAME}"), pytest.raises(LedgerError, match="somebody else has held the lock"):
        promote(stage.ledger, stage.client, promotion(1, None), "alice")
    assert stage.kinds() == [] and stage.moves() == []
    promote(stage.ledger, stage.client, promotion(1, None), "alice")


def test_nothing_moves_while_the_ledger_takes_no_entry(stage: Stage, impatient: None) -> None:
    ledger = Ledger.open(stage.ledger.url)
    writer = sqlite3.connect(stage.root / "ledger.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="the store does not answer"):
        promote(ledger, stage.client, promotion(1, None), "alice")
    writer.execute("ROLLBACK")
    writer.close()
    assert stage.kinds() == [] and stage.moves() == []


def test_nothing_moves_when_the_ledger_is_gone(stage: Stage) -> None:
    Path(stage.root / "ledger.db").write_bytes(b"this is no database" * 100)
    for suffix in ("-wal", "-shm"):
        Path(stage.root / f"ledger.db{suffix}").unlink(missing_ok=True)
    with pytest.raises(LedgerError):
        promote(stage.ledger, stage.client, promotion(1, None), "alice")
    assert stage.moves() == []


def test_a_ledger_that_goes_down_after_the_alias_moved_is_caught_up(stage: Stage, impatient: None) -> None:
    ledger = Ledger.open(stage.ledger.url)
    writer = sqlite3.connect(stage.root / "ledger.db", isolation_level=None)
    client: Any = Faulty(stage.client, after={"set_registered_model_alias": lambda: writer.execute("BEGIN IMMEDIATE")})
    with pytest.raises(LedgerError, match="version 1 of toy is champion, and the ledger did not take") as caught:
        promote(ledger, client, promotion(1, None), "alice")
    assert "worldmodel audit reconcile" in caught.value.fix
    writer.execute("ROLLBACK")
    writer.close()
    assert champions(stage.ledger.entries()) == {} and stage.serving() == "1"
    assert [entry.kind for entry in reconcile(stage.ledger, stage.client, NAME, "bob")] == ["promotion.completed"]
    stage.assert_agrees()
