"""Fifty promotions by eight processes at once: no update is lost, and no move of the alias is unrecorded."""

import threading
import time
from pathlib import Path

import pytest

from flows.ledger.standing import history
from tests.flows.promotion.stage import NAME, Stage, make_stage
from tests.flows.promotion.workers import context, promote_each

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own
PROCESSES, PROMOTIONS = 8, 50


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_promotions_at_once(
    kind: str, registry_file: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(request.getfixturevalue("postgres_url")) if kind == "postgresql" else None
    stage = make_stage(tmp_path, registry_file, url)
    stage.know(range(1, PROMOTIONS + 1))
    shares = [list(range(1 + i, PROMOTIONS + 1, PROCESSES)) for i in range(PROCESSES)]
    processes = [
        context().Process(target=promote_each, args=(url or stage.ledger.url, stage.registry, share, f"process-{i}"))
        for i, share in enumerate(shares)
    ]
    polled, done = [], threading.Event()
    watch = threading.Thread(target=lambda: _poll(stage, polled, done))
    watch.start()
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    done.set()
    watch.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES

    champions = history(stage.ledger.entries(), NAME)
    served = [standing.version for standing in champions]
    assert sorted(map(int, served)) == list(range(1, PROMOTIONS + 1))
    assert [standing.intent.from_version for standing in champions] == [None, *served[:-1]]  # each saw whom it replaced
    assert stage.moves() == served  # every move of the alias, as the registry itself noted it
    assert len(polled) > 1 and polled == [version for version in served if version in set(polled)]
    stage.assert_agrees()
    assert set(stage.kinds()) == {"promotion.intended", "promotion.completed"}
    stage.ledger.close()


def _poll(stage: Stage, polled: list[str], done: threading.Event) -> None:
    """The champions that a bystander sees, one after the other."""
    while not done.is_set():
        version = stage.serving()
        if version is not None and version not in polled[-1:]:
            polled.append(version)
        time.sleep(0.05)
