"""What every command answers with: one JSON document or words for people, and an exit code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from worldmodel.errors import WorldModelError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As of then: `2026-01-31`, or ISO time with its zone.")
]


def finish(command: Callable[[], int], as_json: bool) -> None:
    """Runs a command; an error of the user's is told without a traceback."""
    try:
        code = command()
    except WorldModelError as error:
        if as_json:
            parts = {"what": error.what, "expected": error.expected, "got": error.got, "fix": error.fix}
            print_json({"error": {"type": type(error).__name__, **parts}})
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
