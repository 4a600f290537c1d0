"""The commands that say who serves: `approve`, `promote`, `rollback`, `reconcile`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from flows.answers import print_json
from flows.environment import apply_defaults, state_dir
from flows.git import find_checkout
from flows.ledger.anchors import anchor
from flows.ledger.bodies import ModelRegistered
from flows.ledger.entry import Entry
from flows.ledger.store import Ledger, ledger_url
from flows.ledger.trust import keys_of
from flows.lineage.records import Records
from flows.promotion.approvals import KINDS, Opinion, counted
from flows.promotion.approvals import approve as record_approval
from flows.promotion.models import find_version
from flows.signing.keys import actor, load_key, signing_key, signing_key_path
from worldmodel.errors import LedgerError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flows.promotion.rollback import Rollback


@dataclass(frozen=True)
class _Place:
    """Where a command works."""

    checkout: Path
    state: Path
    ledger: Ledger
    records: Records

    def client(self) -> "MlflowClient":
        """The registry's client; MLflow is imported now."""
        from flows.tracking import connect

        apply_defaults(self.state)
        return connect()


def approve(model: str, reason: str, *, reject: bool, key: Path | None, as_json: bool) -> int:
    """Records that whoever holds a key approves or rejects a version, and says what is missing still.

    Args:
        model: `NAME/3`, `NAME` (its newest version), or the start of the bundle's digest.
        reason: why.
        reject: whether it is rejected.
        key: the approver's private key; None: the one that this user signs with.
        as_json: one document on standard output.

    Raises:
        RegistryError: the ledger knows no such version.
        SigningError: the key may not approve it.
        RecordError: the run that made it has not ended, or its records are not what was signed.
    """
    from flows.promotion.approved import judged, serves

    with _opened() as place:
        entries = list(place.ledger.entries(kinds=KINDS))
        version = find_version(entries, model)
        policy = judged(entries, place.records, version).policy
        signer = signing_key() if key is None else load_key(key)
        opinion = Opinion("reject" if reject else "approve", reason)
        entry = record_approval(place.ledger, version, opinion, signer, actor(), policy)
        found = counted(place.ledger.entries(kinds=KINDS), version.model_sha256, policy)
        notes, champion = _anchor(place), serves(entries, version)
    if as_json:
        said = {"recorded": [_plain(entry)], "approvals": asdict(found), "missing": found.missing}
        print_json({**_named(version), "champion": champion, **said})
        return 0
    done = "rejected" if reject else "approved"
    _say([f"{version.name} version {version.version} is {done}, in entry {entry.sequence} of the ledger"], notes)
    if champion and reject:
        _say([f"it is champion still: worldmodel rollback {version.name} --reason TEXT"])
    elif champion:
        _say(["it is champion already: nothing is left to do"])
    elif found.missing:
        _say([f"still missing: {found.missing}"])
    else:
        _say([f"next: worldmodel promote {version.name}/{version.version}"])
    return 0


def promote(model: str, *, as_json: bool) -> int:
    """Makes a version champion that its gate let through, once whoever has to has approved it.

    One that is champion already stays so, and that is said.

    Raises:
        RegistryError: something is missing (it says what), or MLflow does not answer.
    """
    from flows.promotion.approved import promote_approved
    from flows.promotion.recalls import by_lineage

    with _opened() as place:
        version = find_version(place.ledger.entries(kinds=("model.registered",)), model)
        recalled = by_lineage(place.state, place.records)
        entries = promote_approved(place.ledger, place.client(), place.records, version, actor(), recalled)
        if any(entry.kind == "promotion.intended" for entry in entries):
            _moved(entries, _anchor(place), as_json)
        else:
            _stayed(version, entries, _anchor(place) if entries else [], as_json)
    return 0


def roll_back(asked: "Rollback", *, as_json: bool) -> int:
    """Makes an earlier version champion.

    Raises:
        RegistryError: there is none, it has seen recalled data, or MLflow does not answer.
    """
    from flows.promotion.recalls import by_lineage
    from flows.promotion.rollback import roll_back as carry_out

    with _opened() as place:
        recalled = by_lineage(place.state, place.records)
        entries = carry_out(place.ledger, place.client(), asked, actor(), recalled)
        _moved(entries, _anchor(place), as_json)
    return 0


def reconcile(name: str | None, *, as_json: bool) -> int:
    """Settles promotions that were cut short, of one model or of all, and tells what it found.

    Raises:
        RegistryError: MLflow does not answer, or has no such model.
    """
    from flows.promotion.reconcile import reconcile as settle
    from flows.promotion.reconcile import reconcile_all

    with _opened() as place:
        client = place.client()
        if name is None:
            found = reconcile_all(place.ledger, client, actor())
        else:
            known = find_version(place.ledger.entries(kinds=("model.registered",)), name).name
            found = {known: settle(place.ledger, client, known, actor())}
        notes = _anchor(place) if any(found.values()) else []
    if as_json:
        print_json({name: [_plain(entry) for entry in entries] for name, entries in found.items()})
        return 0
    for name, entries in found.items():
        _tell(entries)
        if not entries:
            _say([f"{name}: ledger and registry agree"])
    if not found:
        _say(["the ledger knows no model yet: worldmodel run"])
    _say([], notes)
    return 0


@contextmanager
def _opened() -> Iterator[_Place]:
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    ledger = Ledger.open(ledger_url(state))
    try:
        if ledger.head() is None:
            raise LedgerError(f"{state}: nothing is recorded yet", fix="worldmodel run")
        yield _Place(checkout, state, ledger, Records(state / "records"))
    finally:
        ledger.close()


def _anchor(place: _Place) -> list[str]:
    """Signs the ledger's new end into the checkout's git; says so where this user has no key that may."""
    path = signing_key_path()
    key = load_key(path) if path.exists() else None
    known = None if key is None else keys_of(place.ledger).get(key.keyid)
    if key is None or known is None or not known.may("runner"):
        return ["this user's key may not sign the ledger's end: the next run's signature covers this"]
    anchor(place.checkout, place.ledger, key)
    return []


def _moved(entries: list[Entry], notes: list[str], as_json: bool) -> None:
    from flows.promotion.promote import promoted

    intent = promoted(entries)
    if as_json:
        facts = {**intent.model_dump(mode="json"), "already_champion": False}
        print_json({**facts, "recorded": [_plain(entry) for entry in entries], "notes": notes})
        return
    _tell([entry for entry in entries if (entry.body or {}).get("promotion") != intent.promotion])
    before = "" if intent.from_version is None else f", in place of version {intent.from_version}"
    _say([f"{intent.name} version {intent.version} is champion{before}: {intent.reason}"], notes)


def _stayed(version: ModelRegistered, entries: list[Entry], notes: list[str], as_json: bool) -> None:
    """Says that a version served before; `entries` are what was settled on the way."""
    if as_json:
        facts = {**_named(version), "already_champion": True}
        print_json({**facts, "recorded": [_plain(entry) for entry in entries], "notes": notes})
        return
    _tell(entries)
    _say([f"{version.name} version {version.version} is champion already: there is nothing to promote"], notes)


def _named(version: ModelRegistered) -> dict[str, str]:
    return {"name": version.name, "version": version.version, "model_sha256": version.model_sha256}


def _tell(entries: Sequence[Entry]) -> None:
    from flows.promotion.reconcile import is_warning, told

    console = Console(highlight=False, soft_wrap=True)
    for entry in entries:
        console.print(told(entry), style="yellow" if is_warning(entry) else "", markup=False)


def _say(lines: Sequence[str], notes: Sequence[str] = ()) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False)
    for note in notes:
        console.print(note, style="dim", markup=False)


def _plain(entry: Entry) -> dict[str, Any]:
    body = {key: value for key, value in (entry.body or {}).items() if key != "envelope"}
    return {"sequence": entry.sequence, "time": entry.time, "actor": entry.actor, "kind": entry.kind, "body": body}
