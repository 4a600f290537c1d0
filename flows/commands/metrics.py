"""The commands below `metrics`: `fetch-weights`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from evaluation.extractors.weights import weights_directory
from flows.answers import print_json
from flows.metric_weights import Fetched, fetch
from flows.weight_origins import parse_origins


def fetch_weights(*, as_json: bool, quiet: bool, origins: Sequence[str] = ()) -> int:
    """Fetches what is missing, from `origins` where they say; with `quiet`, tells only what was fetched."""
    elsewhere = parse_origins(origins)
    found = fetch(weights_directory(), say=lambda text: print(text, file=sys.stderr), origins=elsewhere)
    if as_json:
        print_json([asdict(weights) for weights in found])
    elif not quiet or any(weights.state == "fetched" for weights in found):
        console = Console(highlight=False)
        console.print(_table(found))
        console.print(f"in {weights_directory()}", soft_wrap=True)
    return 0


def _table(found: list[Fetched]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("weights", "package", "MB", "state"):
        table.add_column(column, justify="right" if column == "MB" else "left")
    for weights in found:
        state = f"{weights.state}, probe passed" if weights.probe else weights.state
        table.add_row(weights.id, weights.package, f"{weights.size_bytes / 1e6:.0f}", state)
    return table
