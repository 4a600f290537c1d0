"""The command line `worldmodel`. Heavy imports stay inside the commands: `--help` answers at once.

Exit codes: 0 done, promoted or already champion; 1 error; 2 wrong usage; 3 refused by the gate, or an audit found
something; 4 waits for approval; 130 and 143 stopped by Ctrl-C and SIGTERM. Every command takes `--json`: one JSON
document on standard output, messages on standard error.
"""

from pathlib import Path
from typing import Annotated

import typer

from flows.answers import Json, finish
from flows.audit_cli import audit, data

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
app.add_typer(audit, name="audit")
app.add_typer(data, name="data")

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
    finish(lambda: run_lifecycle(request, as_json=as_json), as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """What is going on now, what is out of date, and who is champion."""
    from flows.commands.look import status as show_status

    finish(lambda: show_status(as_json=as_json), as_json)


@app.command()
def runs(
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """The runs so far, newest first."""
    from flows.commands.look import list_runs

    finish(lambda: list_runs(limit, as_json=as_json), as_json)


@app.command()
def show(
    name: RunName = "latest",
    why: Annotated[bool, typer.Option("--why", help="Per stage, which dep or param changed.")] = False,
    as_json: Json = False,
) -> None:
    """One run: its stages, metrics, decision and where to look."""
    from flows.commands.look import show_run

    finish(lambda: show_run(name, why=why, as_json=as_json), as_json)


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

    finish(lambda: evaluate_version(model, protocol, run, as_json=as_json), as_json)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, a model, or a report.json.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    as_json: Json = False,
) -> None:
    """Paired differences A - B on the same clips: better, worse, or cannot tell."""
    from flows.commands.evaluate import compare_two

    finish(lambda: compare_two(a, b, as_json=as_json), as_json)


@app.command()
def approve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`NAME`, `NAME/3` or a digest.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the approval.")],
    reject: Annotated[bool, typer.Option("--reject", help="Reject it instead.")] = False,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="An approver's key; by default yours.")] = None,
    as_json: Json = False,
) -> None:
    """Approve or reject a registered version, in a signed record."""
    from flows.commands.promotion import approve as record_approval

    finish(lambda: record_approval(model, reason, reject=reject, key=key, as_json=as_json), as_json)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`NAME`, `NAME/3` or a digest.")], as_json: Json = False
) -> None:
    """Promote a version that the gate let through, once it has the approvals that the policy asks for."""
    from flows.commands.promotion import promote as promote_approved

    finish(lambda: promote_approved(model, as_json=as_json), as_json)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the registered model.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the promotion.")],
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="By default the champion before the present one.")
    ] = None,
    accept_recalled: Annotated[
        bool, typer.Option("--accept-recalled", help="Even if that version has seen recalled data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an earlier champion the champion again, as a recorded promotion."""
    from flows.commands.promotion import roll_back
    from flows.promotion.rollback import Rollback

    finish(lambda: roll_back(Rollback(name, reason, to, accept_recalled), as_json=as_json), as_json)


@app.command()
def gc(
    keep: Annotated[int, typer.Option(metavar="N", help="Keep all of the newest N runs.")],
    keep_days: Annotated[float, typer.Option(metavar="D", help="And of those of the last D days.")] = 0.0,
    drop_refused: Annotated[
        bool, typer.Option("--drop-refused", help="Also outputs of versions that never served and are not the newest.")
    ] = False,
    recalled: Annotated[
        bool, typer.Option("--recalled", help="Also outputs that hold recalled data, unless a champion needs them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go, and why.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what no kept run, registered version or ledger entry needs; records stay, and tombstones say what went."""
    from flows.commands.gc import gc as delete
    from flows.retention.rule import Rule

    def run() -> int:
        return delete(Rule(keep, keep_days, drop_refused, recalled), dry_run=dry_run, yes=yes, as_json=as_json)

    finish(run, as_json)


@app.command()
def cancel(name: RunName, as_json: Json = False) -> None:
    """Stop a run that is at work: its stage saves, and nothing is left behind."""
    from flows.commands.cancel import cancel_run

    finish(lambda: cancel_run(name, as_json=as_json), as_json)


@app.command()
def up(
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    as_json: Json = False,
) -> None:
    """Prefect, MLflow and a worker on loopback, until Ctrl-C."""
    from flows.commands.up import serve_until_stopped

    finish(lambda: serve_until_stopped(prefect_port, mlflow_port, as_json=as_json), as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What on this machine would get in the way, and what to do about it."""
    from flows.commands.look import run_doctor

    finish(lambda: run_doctor(as_json=as_json), as_json)


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

    finish(lambda: fetch(as_json=as_json, quiet=quiet, origins=origins or ()), as_json)


@metrics.command()
def protocols(as_json: Json = False) -> None:
    """The named rules of what is measured, and how."""
    from flows.commands.evaluate import list_protocols

    finish(lambda: list_protocols(as_json=as_json), as_json)


@gate.command()
def explain(name: RunName = "latest", as_json: Json = False) -> None:
    """Why a run was promoted or refused: every rule with its numbers."""
    from flows.commands.gate import explain as explain_decision

    finish(lambda: explain_decision(name, as_json=as_json), as_json)


@gate.command()
def replay(
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whose limits; by default each run's profile as it is now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What other limits would have decided about the runs so far. Changes nothing."""
    from flows.commands.gate import replay as replay_decisions

    finish(lambda: replay_decisions(params, as_json=as_json), as_json)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
