"""What promotions are tested on: a real MLflow registry, a real ledger, keys, and runs that were recorded."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from evaluation.base import Record, fingerprint
from evaluation.evidence import NO_CHAMPION
from flows.ledger.bodies import ModelRegistered, RunRecorded
from flows.ledger.chain import check_chain
from flows.ledger.entry import Entry
from flows.ledger.standing import champions, open_intents
from flows.ledger.store import Ledger
from flows.ledger.trust import ensure_trusted, trust
from flows.lineage.records import DECISION, PARAMS, Records
from flows.promotion.promote import Promotion
from flows.registry import DIGEST_TAG, champion
from flows.signing.dsse import sign
from flows.signing.keys import SigningKey, make_key
from flows.signing.statements import Role, RunFacts, run_statement

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME, TRAINER = "toy", "trainer"
_LOG = """
CREATE TABLE moves (position INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER);
CREATE TRIGGER put AFTER INSERT ON registered_model_aliases WHEN NEW.alias = 'champion'
  BEGIN INSERT INTO moves (version) VALUES (NEW.version); END;
CREATE TRIGGER moved AFTER UPDATE ON registered_model_aliases WHEN NEW.alias = 'champion'
  BEGIN INSERT INTO moves (version) VALUES (NEW.version); END;
CREATE TRIGGER gone AFTER DELETE ON registered_model_aliases WHEN OLD.alias = 'champion'
  BEGIN INSERT INTO moves (version) VALUES (NULL); END;
"""


def sha(word: str | int) -> str:
    """The digest of a bundle that is called so."""
    return hashlib.sha256(str(word).encode()).hexdigest()


def client_of(url: str) -> "MlflowClient":
    """A client of one registry, whatever the environment says."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=url, registry_uri=url)


def make_registry(path: Path, versions: int) -> None:
    """An MLflow store with versions 1, 2, ... of `toy`, which notes every move of the alias champion by itself."""
    import sqlite3

    client = client_of(f"sqlite:///{path}")
    client.create_registered_model(NAME)
    for number in range(1, versions + 1):
        client.create_model_version(NAME, str(path.parent), tags={DIGEST_TAG: sha(number)})
    with sqlite3.connect(path) as connection:
        connection.executescript(_LOG)


@dataclass
class Stage:
    """A registry, a ledger whose root is the trainer's key, and records."""

    root: Path
    ledger: Ledger
    registry: str
    key: SigningKey
    keys: dict[str, SigningKey] = field(default_factory=dict)

    @property
    def client(self) -> "MlflowClient":
        """A client of the registry."""
        return client_of(self.registry)

    @property
    def records(self) -> Records:
        """What runs left."""
        return Records(self.root / "records")

    def enlist(self, owner: str, *roles: Role) -> SigningKey:
        """A new key of somebody's, trusted for `roles`."""
        key = make_key(self.root / "keys" / f"{owner}-{len(self.keys)}.pem")
        trust(self.ledger, self.key, key.public, owner, roles, TRAINER)
        self.keys[owner] = key
        return key

    def know(self, versions: Sequence[int]) -> None:
        """Records versions of the registry as registered."""
        self.ledger.append_all([registered(number) for number in versions], TRAINER)

    def record_run(
        self,
        number: int,
        verdict: str | None = "promote",
        against: str | None = None,
        *,
        run_id: str = "",
        actor: str = TRAINER,
        **policy: Any,
    ) -> str:
        """Records a run that came to version `number`, compared with the bundle `against`; returns its id."""
        run_id = run_id or f"run-{number}"
        decision = {"verdict": verdict, "summary": "", "evidence": {"champion_sha256": against or NO_CHAMPION}}
        params = json.dumps({"promotion": policy} if policy else {})
        files = {PARAMS: params, DECISION: json.dumps(decision)}
        facts = RunFacts(
            run_id=run_id,
            actor=actor,
            profile="tiny",
            status="refused",
            snapshot="0" * 40,
            tree="0" * 40,
            dirty=False,
            started_at="2026-01-01T00:00:00.000000Z",
            ended_at="2026-01-01T01:00:00.000000Z",
        )
        digests = {name: self.records.put(text.encode()) for name, text in files.items()}
        statement = self.records.add_run(run_id, sign(run_statement(facts, digests), self.key))
        body = RunRecorded(
            run_id=run_id,
            statement_sha256=statement,
            keyid=self.key.keyid,
            status="refused",
            snapshot="0" * 40,
            dirty=False,
            model=NAME,
            model_sha256=sha(number),
            decision_sha256=fingerprint(decision) if verdict else None,
            verdict=verdict,
        )
        self.ledger.append(body, actor)
        return run_id

    def kinds(self, after: int = 0) -> list[str]:
        """The kinds of the ledger's entries about promotions."""
        entries = self.ledger.entries(after=after)
        return [entry.kind for entry in entries if entry.kind.startswith(("promotion", "alias"))]

    def serving(self) -> str | None:
        """The champion's version in the registry."""
        found = champion(self.client, NAME)
        return None if found is None else found.version

    def put_by_hand(self, version: int) -> None:
        """Moves the alias past the ledger."""
        self.client.set_registered_model_alias(NAME, "champion", str(version))

    def moves(self) -> list[str]:
        """Every version that the alias champion was put on, as the registry's own trigger noted it."""
        engine = sa.create_engine(self.registry, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            return [
                str(row.version) for row in connection.execute(sa.text("SELECT version FROM moves ORDER BY position"))
            ]

    def assert_agrees(self) -> None:
        """Ledger and registry name the same champion, nothing is open, and the chain holds."""
        entries = list(self.ledger.entries())
        standing = champions(entries).get(NAME)
        assert (None if standing is None else standing.version) == self.serving()
        assert open_intents(entries, NAME) == []
        assert check_chain(entries) == []


def make_stage(root: Path, registry: Path, url: str | None = None) -> Stage:
    """A stage in `root`, on a copy of a registry; `url`: of the ledger, by default a new file."""
    shutil.copy(registry, root / "mlflow.db")
    ledger = Ledger.open(url or f"sqlite:///{root / 'ledger.db'}")
    key = make_key(root / "keys" / "signing.pem")
    ensure_trusted(ledger, key, TRAINER)
    return Stage(root, ledger, f"sqlite:///{root / 'mlflow.db'}", key)


def registered(number: int) -> ModelRegistered:
    """What the ledger says of a version."""
    return ModelRegistered(
        name=NAME, version=str(number), model_sha256=sha(number), run_id=f"run-{number}", parts={"worldrec": sha("w")}
    )


def promotion(version: int, expected: int | None, **changes: Any) -> Promotion:
    """A gate's promotion of a version, decided while `expected` served."""
    before = None if expected is None else str(expected)
    given = {"cause": "gate", "reason": "every rule passes", **changes}
    return Promotion(NAME, str(version), sha(version), before, **given)


class Faulty:
    """A client of a registry that does something before or after chosen calls."""

    def __init__(
        self,
        client: "MlflowClient",
        before: Mapping[str, Callable[[], object]] | None = None,
        after: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self._client, self._before, self._after = client, before or {}, after or {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name not in self._before and name not in self._after:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before.get(name, bool)()
            result = found(*args, **kwargs)
            self._after.get(name, bool)()
            return result

        return call


class DyingLedger(Ledger):
    """A ledger whose process is killed right after entries that end with this kind of body are on disk."""

    dies_after: type[Record] | None = None

    def append_all(self, bodies: Sequence[Record], actor: str) -> list[Entry]:
        """Adds them, and maybe dies."""
        entries = super().append_all(bodies, actor)
        if type(bodies[-1]) is self.dies_after:
            die()
        return entries


def die() -> None:
    """kill -9 of this process."""
    os.kill(os.getpid(), signal.SIGKILL)
