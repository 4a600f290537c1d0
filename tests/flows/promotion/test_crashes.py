"""kill -9 at every step of a promotion: ledger and alias agree once somebody reconciles, and the chain is whole."""

import signal

import pytest

from flows.ledger.bodies import AliasObserved
from flows.ledger.reading import bodies
from flows.promotion import lock
from flows.promotion.promote import promote
from flows.promotion.reconcile import reconcile
from tests.flows.promotion.stage import NAME, Stage, promotion
from tests.flows.promotion.workers import KILLS, context, promote_and_die

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own

# whether the promotion stands in the end, and what the reconciler adds
AFTERWARDS = {
    "before the intent": ("1", []),
    "after the intent": ("1", ["promotion.abandoned"]),
    "before the alias moves": ("1", ["promotion.abandoned"]),
    "after the alias moved": ("2", ["promotion.completed"]),
    "after the challenger went": ("2", ["promotion.completed"]),
    "after the completion": ("2", []),
}


@pytest.mark.parametrize("point", KILLS)
def test_a_promotion_that_was_killed_is_settled(stage: Stage, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "TIMEOUT_S", 5.0)  # the lock went with the process
    promote(stage.ledger, stage.client, promotion(1, None), "alice")
    stage.client.set_registered_model_alias(NAME, "challenger", "2")
    process = context().Process(target=promote_and_die, args=(stage.ledger.url, stage.registry, point))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    serves, added = AFTERWARDS[point]
    assert [entry.kind for entry in reconcile(stage.ledger, stage.client, NAME, "bob")] == added
    assert reconcile(stage.ledger, stage.client, NAME, "bob") == []
    assert stage.serving() == serves
    stage.assert_agrees()
    assert ("challenger" in stage.client.get_registered_model(NAME).aliases) == (serves == "1")

    promote(stage.ledger, stage.client, promotion(3, int(serves)), "carol")
    stage.assert_agrees()
    assert list(bodies(stage.ledger.entries(), AliasObserved)) == []
    assert stage.moves() == ["1", "3"] if serves == "1" else ["1", "2", "3"]
