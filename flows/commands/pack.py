"""The commands `audit export`, which writes an evidence pack, and `audit card`, which prints a model's card."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.answers import print_json
from flows.environment import state_dir
from flows.git import find_checkout

_WIDTH = 80


def export_model(spec: str, out: Path | None, *, with_weights: bool, as_json: bool) -> int:
    """Writes the evidence pack of a model, once all that goes in was verified.

    Args:
        spec: `NAME`, `NAME/3`, `NAME@champion`, a digest or a run (`flows.audit.books.find_model`).
        out: the file, or a folder for it; None: here, under a name of its own.
        with_weights: whether the weights go in.
        as_json: one document on standard output.

    Raises:
        RecordError: there is no such model, or something that would go in does not hold: the error has the findings.
        SigningError: the ledger does not trust this user's key.
        WorkspaceError: git lacks the snapshot, or the file cannot be written.
    """
    from flows.audit.books import find_model, open_books
    from flows.audit.pack.export import Order, export
    from flows.signing.keys import actor, signing_key

    checkout, console = find_checkout(Path.cwd()), Console(stderr=as_json, highlight=False, width=_WIDTH)
    with open_books(state_dir(checkout), checkout, say=console.print) as books:
        found = export(books, Order(find_model(books, spec), signing_key(), actor(), out, with_weights))
    if as_json:
        print_json(found.model_dump())
        return 0
    table = Table(box=None, show_header=False, pad_edge=False)
    told = f"{found.entries} entries of the ledger, {found.entries - found.entries_without_body} with what they say"
    for name, value in (
        ("pack", f"{found.path}\n{found.bytes:,} bytes, {found.files} files"),
        ("sha256", found.sha256),
        ("of", f"{found.name} version {found.version}, {found.model_sha256[:16]}"),
        ("holds", f"records of {len(found.runs)} runs; {told}"),
        ("verified", f"{found.checked:,} signatures, links, digests and files, before it was written"),
        ("check it", "worldmodel audit verify PACK --key FILE.pub"),
    ):
        table.add_row(name, escape(value))
    console.print(table)
    return 0


def print_card(spec: str, *, at: str | None, as_json: bool) -> int:
    """Prints the card of a model as Markdown or as JSON, once the records that it is made from were verified.

    Args:
        spec: as `export_model` has it.
        at: as of this time; None: now.
        as_json: the card as one JSON document.

    Raises:
        RecordError: there is no such model, or its records do not hold.
        ParamsError: `at` is no time.
    """
    from flows.audit.books import find_model, open_books
    from flows.audit.cards.markdown import card_markdown
    from flows.audit.pack.export import sound_card

    checkout, console = find_checkout(Path.cwd()), Console(stderr=True, highlight=False, width=_WIDTH)
    with open_books(state_dir(checkout), checkout, at, say=console.print) as books:
        card = sound_card(books, find_model(books, spec))
    if as_json:
        print_json(card.model_dump(mode="json"))
    else:
        sys.stdout.write(card_markdown(card))
    return 0
