"""What ledger and registry say of one alias, brought together after a crash, an outage or somebody's own hand.

A promotion writes its intent before it moves the alias, and its completion after. So an open intent, and where the
alias stands, tell what happened to it; where they do not, that is recorded and nothing is guessed.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evaluation.base import Record
from flows import registry
from flows.ledger.bodies import (
    AliasObserved,
    PromotionAbandoned,
    PromotionCompleted,
    PromotionIntended,
)
from flows.ledger.entry import Entry, Kind
from flows.ledger.reading import body_of
from flows.ledger.standing import open_intents, registered
from flows.promotion.lock import model_lock
from worldmodel.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flows.ledger.store import Ledger

COMMAND = "worldmodel audit reconcile"
_MOVES: tuple[Kind, ...] = ("promotion.intended", "promotion.completed", "promotion.abandoned", "alias.observed")
_KINDS: tuple[Kind, ...] = (*_MOVES, "model.registered")
Place = tuple[str | None, str | None]  # version and digest of the bundle; both None: there is no champion


def reconcile(ledger: "Ledger", client: "MlflowClient", name: str, actor: str) -> list[Entry]:
    """Settles what is open about a model's champion; returns what it recorded, which is nothing when all agrees.

    Raises:
        RegistryError: MLflow does not answer, or has no such model: then nothing is recorded.
        LedgerError: the ledger does not answer, or another process holds the model's lock for long.
    """
    with model_lock(ledger, name):
        return settle_now(ledger, client, name, actor)[0]


def reconcile_all(ledger: "Ledger", client: "MlflowClient", actor: str) -> dict[str, list[Entry]]:
    """`reconcile` for every model that the ledger knows."""
    known = ledger.entries(kinds=("model.registered", "promotion.intended"))
    names = sorted({str(entry.body["name"]) for entry in known if entry.body})
    return {name: reconcile(ledger, client, name, actor) for name in names}


def settle_now(
    ledger: "Ledger", client: "MlflowClient", name: str, actor: str
) -> tuple[list[Entry], registry.Champion | None]:
    """`reconcile` for one who holds the model's lock; also tells who serves."""
    entries = list(ledger.entries(kinds=_KINDS))
    found = serving(client, name, known=any(of == name for of, _ in registered(entries)))
    bodies = settle(entries, name, place(found))
    for body in bodies:
        if isinstance(body, PromotionCompleted) and found is not None:
            with registry.asking():
                registry.drop_challenger(client, name, found.version)
    return (ledger.append_all(bodies, actor) if bodies else []), found


def serving(client: "MlflowClient", name: str, *, known: bool) -> registry.Champion | None:
    """Who serves, according to the registry; `known`: the ledger has versions of this model, so the registry must.

    Raises:
        RegistryError: MLflow does not answer, or is not the registry that the ledger is about.
    """
    with registry.asking():
        found = registry.champion(client, name)
        if found is None and known and not registry.has_model(client, name):
            raise RegistryError(
                f"the registry has no model {name}, of which the ledger knows versions",
                got=str(client.tracking_uri),
                fix="name the registry that the ledger is about: MLFLOW_TRACKING_URI; if the model was deleted there, "
                "register its successors under another name",
            )
    return found


def place(found: registry.Champion | None) -> Place:
    """Where the alias stands."""
    return (None, None) if found is None else (found.version, found.sha256 or None)


def settle(entries: Sequence[Entry], name: str, found: Place) -> list[Record]:
    """What is to be recorded, given where the alias was found.

    An open intent is completed if the alias stands where it meant to put it, abandoned if it stands where it took it
    from, and otherwise left open. An alias that stands elsewhere than the ledger last said is recorded as observed.
    """
    bodies: list[Record] = []
    said = last_said(entries, name)
    intents = [intent for _, intent in open_intents(entries, name)]
    for older in intents[:-1]:  # the newest found the alias where it began, not where these meant to put it
        bodies.append(_abandoned(older, "a later promotion began from elsewhere"))
    for newest in intents[-1:]:
        if found == (newest.version, newest.model_sha256):
            bodies.append(PromotionCompleted(promotion=newest.promotion, name=name, by="reconciler"))
            said = found
        elif found == (newest.from_version, newest.from_sha256):
            bodies.append(_abandoned(newest, f"the alias still stands at {version_text(found[0])}"))
    if found != said:
        observed = AliasObserved(name=name, recorded_version=said[0], found_version=found[0], found_sha256=found[1])
        bodies.append(observed)
    return bodies


def superseded(entries: Iterable[Entry], name: str, found: Place) -> list[PromotionAbandoned]:
    """Ends the intents of a model that could not be settled, because a promotion now begins from where the alias is."""
    why = f"the alias was found at {version_text(found[0])}, and another promotion begins from there"
    return [_abandoned(intent, why) for _, intent in open_intents(entries, name)]


def last_said(entries: Iterable[Entry], name: str) -> Place:
    """Where the ledger last said that the alias stands: put there by a promotion, or observed."""
    said: Place = (None, None)
    intents: dict[str, PromotionIntended] = {}
    for entry in entries:
        if entry.body is None or entry.body.get("name") != name:
            continue
        if entry.kind == "promotion.intended":
            intent = body_of(entry, PromotionIntended)
            intents[intent.promotion] = intent
        elif entry.kind == "promotion.completed" and entry.body["promotion"] in intents:
            intent = intents[entry.body["promotion"]]
            said = (intent.version, intent.model_sha256)
        elif entry.kind == "alias.observed":
            said = (entry.body["found_version"], entry.body["found_sha256"])
    return said


def told(entry: Entry) -> str:
    """What an entry about a promotion says, as a sentence."""
    body = entry.body or {}
    if entry.kind == "promotion.intended":
        before = version_text(body["from_version"])
        return f"{body['name']}: version {body['version']} is to be champion in place of {before}"
    if entry.kind == "promotion.completed":
        found = ", as the registry shows" if body["by"] == "reconciler" else ""
        return f"{body['name']}: the promotion {body['promotion'][:8]} is complete{found}"
    if entry.kind == "promotion.abandoned":
        return f"{body['name']}: the promotion {body['promotion'][:8]} was given up: {body['why']}"
    if entry.kind == "alias.observed":
        there, said = version_text(body["found_version"]), version_text(body["recorded_version"])
        return f"{body['name']}: the alias champion stands at {there}, where the ledger had {said}"
    return f"entry {entry.sequence}: {entry.kind}"


def is_warning(entry: Entry) -> bool:
    """Whether an entry says that somebody moved the alias past the ledger."""
    return entry.kind == "alias.observed"


def version_text(version: str | None) -> str:
    """A version in words."""
    return "no version" if version is None else f"version {version}"


def _abandoned(intent: PromotionIntended, why: str) -> PromotionAbandoned:
    return PromotionAbandoned(promotion=intent.promotion, name=intent.name, why=why)
