"""The command `audit verify`: whether anything was altered since it was recorded, in this state directory or a pack."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from flows.answers import print_json
from flows.environment import apply_defaults, state_dir
from flows.git import find_checkout
from flows.signing.keys import PublicKey, read_public, signing_key_path
from worldmodel.errors import RegistryError, SigningError

if TYPE_CHECKING:
    from flows.audit.verify.evidence import Note, Registry, Verdict
    from flows.ledger.store import Ledger

EXIT_HOLDS, EXIT_FINDINGS = 0, 3
_WIDTH, _PRINTED, _SQLITE = 80, 100, "sqlite:///"


def verify_all(pack: Path | None, keys: Sequence[Path], *, quick: bool, as_json: bool) -> int:
    """Verifies a pack, or the state directory and its checkout; prints what was checked and found.

    Args:
        pack: an evidence pack; None: the state directory.
        keys: files with the public keys that may be the root of trust; none: the one beside this user's signing key.
        quick: without the bytes of outputs, caches and code, and without the registry.
        as_json: one document on standard output.

    Returns:
        0 when all holds, 3 when there are findings.

    Raises:
        SigningError: no public key to begin with.
        RecordError: nothing was recorded, or the pack cannot be read.
        LedgerError, WorkspaceError: the ledger or git does not answer.
    """
    public = root_keys(keys)
    roots = tuple(key.keyid for key in public)
    verdict = _state(public, quick=quick) if pack is None else _pack(pack, roots, quick=quick)
    if as_json:
        print_json(as_document(verdict, roots))
    else:
        print_verdict(verdict, Console(highlight=False, width=_WIDTH))
    return EXIT_HOLDS if verdict.holds else EXIT_FINDINGS


def root_keys(keys: Sequence[Path]) -> tuple[PublicKey, ...]:
    """The public keys in files; this user's own where none is named.

    Raises:
        SigningError: a file is not there, or holds no public key.
    """
    if keys:
        return tuple(read_public(path) for path in keys)
    own = Path(f"{signing_key_path()}.pub")
    if not own.is_file():
        raise SigningError(
            "which key is the root of trust? This user has none",
            expected="the file with the public key that the ledger began with",
            got=f"no {own}",
            fix="worldmodel audit verify --key FILE.pub",
        )
    return (read_public(own),)


def as_document(verdict: "Verdict", roots: tuple[str, ...]) -> dict[str, object]:
    """A verdict as JSON."""
    return {
        "holds": verdict.holds,
        "roots": list(roots),
        "checked": [one.model_dump() for one in verdict.checked],
        "findings": [one.model_dump() for one in verdict.findings],
        "notes": [one.model_dump() for one in verdict.notes],
    }


def print_verdict(verdict: "Verdict", console: Console) -> None:
    """What was checked, then notes, then findings, and the verdict in one line."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("checked", no_wrap=True)
    for column in ("number", "findings", "seconds"):
        table.add_column(column, justify="right")
    for one in verdict.checked:
        found = f"[red]{one.findings}[/]" if one.findings else "0"
        table.add_row(one.what, f"{one.count:,}", found, f"{one.seconds:.2f}")
    seconds = sum(one.seconds for one in verdict.checked)
    table.add_row("[bold]all[/]", f"{sum(one.count for one in verdict.checked):,}", "", f"{seconds:.2f}")
    console.print(table)
    for note in verdict.notes:
        _print_item(console, "[yellow]note[/]", note.where, note.sentence)
    for finding in verdict.findings[:_PRINTED]:
        _print_item(console, f"[red]{escape(finding.what)}[/]", finding.where, finding.sentence)
    count = len(verdict.findings)
    if count > _PRINTED:
        console.print(f"and {count - _PRINTED} more: --json lists them all")
    all_well = "nothing was altered: every signature, link, digest and file checked holds"
    told = f"[bold red]{count} finding{'s' if count != 1 else ''}[/]" if count else f"[bold green]{all_well}[/]"
    console.print()
    console.print(told)


def _print_item(console: Console, title: str, where: str, sentence: str) -> None:
    console.print(f"{title}  {escape(where)}", soft_wrap=False)
    console.print(Padding(escape(sentence), (0, 0, 0, 4)))


def _state(keys: tuple[PublicKey, ...], *, quick: bool) -> "Verdict":
    from flows.audit.verify.state import evidence_of
    from flows.audit.verify.walk import verify

    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    registry, note = (None, None) if quick else _registry(state)
    with _ledger(state) as ledger:
        evidence = evidence_of(checkout, state, ledger, registry)
        verdict = verify(evidence, tuple(key.keyid for key in keys), quick=quick, keys=keys)
    verdict.notes += [note] if note is not None else []
    return verdict


@contextmanager
def _ledger(state: Path) -> "Iterator[Ledger | None]":
    """The ledger of a state directory; None where its file is gone, since opening would make another."""
    from flows.ledger.store import Ledger, ledger_url

    url = ledger_url(state)
    if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).is_file():
        yield None
        return
    ledger = Ledger.open(url)
    try:
        yield ledger
    finally:
        ledger.close()


def _registry(state: Path) -> "tuple[Registry | None, Note | None]":
    """MLflow's registry; None and a note where there is none to ask."""
    from flows.audit.verify.evidence import Note
    from flows.audit.verify.registry import MlflowRegistry

    apply_defaults(state)
    place = os.environ["MLFLOW_TRACKING_URI"]
    if place.startswith(_SQLITE) and not Path(place.removeprefix(_SQLITE)).is_file():
        return None, Note(where="registry", sentence="MLflow has no store here: registered versions were not checked")
    try:
        return MlflowRegistry(), None
    except RegistryError as error:
        sentence = f"MLflow does not answer, so registered versions were not checked: {error.got}"[:300]
        return None, Note(where="registry", sentence=sentence)


def _pack(pack: Path, roots: tuple[str, ...], *, quick: bool) -> "Verdict":
    from flows.audit.pack.check import verify_pack

    return verify_pack(pack, roots, quick=quick)
