"""What other processes of these tests do; they start fast, forked from one that has imported MLflow."""

import multiprocessing
import random
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from flows import registry
from flows.ledger.bodies import PromotionCompleted, PromotionIntended
from flows.promotion.promote import promote, register
from flows.registry import DIGEST_TAG, Candidate, champion
from tests.flows.promotion.stage import NAME, DyingLedger, Faulty, Ledger, client_of, die, promotion
from worldmodel.errors import RegistryError

# where a promotion is killed: which kind of call, which one
KILLS = {
    "before the intent": ("before", "get_model_version"),
    "after the intent": ("append_all", "intended"),
    "before the alias moves": ("before", "set_registered_model_alias"),
    "after the alias moved": ("after", "set_registered_model_alias"),
    "after the challenger went": ("after", "delete_registered_model_alias"),
    "after the completion": ("append", "completed"),
}


def context() -> ForkServerContext:
    """Where to start processes."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["mlflow", "mlflow.store.model_registry.sqlalchemy_store", __name__])
    return found


def promote_and_die(ledger_url: str, registry: str, point: str) -> None:
    """Promotes version 2 in place of version 1, and is killed at one point."""
    kind, call = KILLS[point]
    client: Any = Faulty(client_of(registry), **{kind: {call: die}} if kind in ("before", "after") else {})
    ledger = DyingLedger.open(ledger_url)
    ledger.dies_after = {"intended": PromotionIntended, "completed": PromotionCompleted}.get(call)
    promote(ledger, client, promotion(2, 1), "killed")


def promote_each(ledger_url: str, registry: str, versions: list[int], actor: str) -> None:
    """Promotes versions one after the other, each against the champion that it finds, until each was let through."""
    ledger, client = Ledger.open(ledger_url), client_of(registry)
    for version in versions:
        while not _attempt(ledger, client, version, actor):
            time.sleep(random.uniform(0, 0.1))
    ledger.close()


def _attempt(ledger: Ledger, client: Any, version: int, actor: str) -> bool:
    serving = champion(client, NAME)
    expected = None if serving is None else int(serving.version)
    try:
        promote(ledger, client, promotion(version, expected), actor)
    except RegistryError as error:
        if "changed" not in error.what:
            raise
        return False
    return True


def register_at_once(ledger_url: str, registry_url: str, sha256: str, barrier: Barrier) -> None:
    """Registers a bundle in the same moment as others; packing what it holds is left out."""

    def create(client: Any, candidate: Candidate) -> str:
        tags = {DIGEST_TAG: candidate.sha256}
        return str(client.create_model_version(candidate.name, "file:///nowhere", tags=tags).version)

    registry.create_version = create
    ledger, client = Ledger.open(ledger_url), client_of(registry_url)
    barrier.wait(60)
    register(ledger, client, Candidate(NAME, sha256, Path.cwd(), "0" * 32, {}), "run-x", {}, "process")
