"""The command line `worldmodel`. Heavy imports stay inside the commands: `--help` answers at once.

Exit codes: 0 done, promoted or already champion; 1 error; 2 wrong usage; 3 refused by the gate; 130 and 143 stopped by
Ctrl-C and SIGTERM. Every command takes `--json`: one JSON document on standard output, messages on standard error.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from worldmodel.errors import WorldModelError

app = typer.Typer(
    name="worldmodel",
    help="Driving logs in, a gated and registered world model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

metrics = typer.Typer(help="What numbers are measured with: protocols, and networks' weights.", no_args_is_help=True)
gate = typer.Typer(help="What the gate decided, and what other limits would have decided.", no_args_is_help=True)
app.add_typer(metrics, name="metrics")
app.add_typer(gate, name="gate")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, a unique part of its start or end, or `latest`.")
]


@app.command()
def run(
    profile: Annotated[str, typer.Option(help="Size: debug (a minute or two), tiny, or paper (GPUs).")] = "tiny",
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC", help="`synthetic`, `dgp:FOLDER` or `multicam:FOLDER`; may be given several times."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    force: Annotated[str | None, typer.Option(metavar="STAGE", help="Run this stage even if it is up to date.")] = None,
    as_json: Json = False,
) -> None:
    """Bring everything up to date: prepare, validate, train, measure, gate, register, promote."""
    from flows.commands.run import run_lifecycle
    from flows.driver import Request

    request = Request(profile, tuple(data or ["synthetic"]), until, force)
    _finish(lambda: run_lifecycle(request, as_json=as_json), as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """What is going on now, what is out of date, and who is champion."""
    from flows.commands.look import status as show_status

    _finish(lambda: show_status(as_json=as_json), as_json)


@app.command()
def runs(
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """The runs so far, newest first."""
    from flows.commands.look import list_runs

    _finish(lambda: list_runs(limit, as_json=as_json), as_json)


@app.command()
def show(
    name: RunName = "latest",
    why: Annotated[bool, typer.Option("--why", help="Per stage, which dep or param changed.")] = False,
    as_json: Json = False,
) -> None:
    """One run: its stages, metrics, decision and where to look."""
    from flows.commands.look import show_run

    _finish(lambda: show_run(name, why=why, as_json=as_json), as_json)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`NAME`, `NAME/3` or `NAME@champion`.")],
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="See `metrics protocols`; by default that of the run.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Whose data; by default the run that made the version.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a registered version again, without training."""
    from flows.commands.evaluate import evaluate_version

    _finish(lambda: evaluate_version(model, protocol, run, as_json=as_json), as_json)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, a model, or a report.json.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    as_json: Json = False,
) -> None:
    """Paired differences A - B on the same clips: better, worse, or cannot tell."""
    from flows.commands.evaluate import compare_two

    _finish(lambda: compare_two(a, b, as_json=as_json), as_json)


@app.command()
def cancel(name: RunName, as_json: Json = False) -> None:
    """Stop a run that is at work: its stage saves, and nothing is left behind."""
    from flows.commands.cancel import cancel_run

    _finish(lambda: cancel_run(name, as_json=as_json), as_json)


@app.command()
def up(
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    as_json: Json = False,
) -> None:
    """Prefect, MLflow and a worker on loopback, until Ctrl-C."""
    from flows.commands.up import serve_until_stopped

    _finish(lambda: serve_until_stopped(prefect_port, mlflow_port, as_json=as_json), as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What on this machine would get in the way, and what to do about it."""
    from flows.commands.look import run_doctor

    _finish(lambda: run_doctor(as_json=as_json), as_json)


@metrics.command()
def fetch_weights(
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="[ID=]PLACE",
            help="ID=FILE, ID=URL#sha256=HEX, or a folder or URL prefix of converted files.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing when all is there.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch the pinned weights of the metrics' networks, check them, and keep them in the cache."""
    from flows.commands.metrics import fetch_weights as fetch

    _finish(lambda: fetch(as_json=as_json, quiet=quiet, origins=origins or ()), as_json)


@metrics.command()
def protocols(as_json: Json = False) -> None:
    """The named rules of what is measured, and how."""
    from flows.commands.evaluate import list_protocols

    _finish(lambda: list_protocols(as_json=as_json), as_json)


@gate.command()
def explain(name: RunName = "latest", as_json: Json = False) -> None:
    """Why a run was promoted or refused: every rule with its numbers."""
    from flows.commands.gate import explain as explain_decision

    _finish(lambda: explain_decision(name, as_json=as_json), as_json)


@gate.command()
def replay(
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whose limits; by default each run's profile as it is now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What other limits would have decided about the runs so far. Changes nothing."""
    from flows.commands.gate import replay as replay_decisions

    _finish(lambda: replay_decisions(params, as_json=as_json), as_json)


def _finish(command: Callable[[], int], as_json: bool) -> None:
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


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
