"""The commands that measure and compare what is there already: `evaluate`, `compare`, `metrics protocols`."""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from evaluation.base import fingerprint
from flows.answers import print_json
from flows.console import ConsoleReporter
from flows.environment import apply_defaults, state_dir
from flows.git import find_checkout
from flows.runs import Runs
from worldmodel.errors import DataError, WorkspaceError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from evaluation.report import Report
    from flows.judging import Evaluated


def evaluate_version(model: str, protocol: str | None, run: str | None, *, as_json: bool) -> int:
    """Measures a registered version, or finds it measured; prints its report and where that is.

    Args:
        model: `NAME`, `NAME/3` or `NAME@champion`.
        protocol: name of a preset; None: that of the run.
        run: whose data and code; None: the run that made the version.
        as_json: one document on standard output.
    """
    from evaluation.records import read_report
    from flows.bench import Bench, measure_version, trained_on
    from flows.judging import REPORT_FILE
    from flows.registered import find
    from flows.registry import asking

    checkout, state, client = _here()
    runs = Runs(state)
    with asking():
        version = find(client, model)
        record = _made_by(runs, version.run_id) if run is None else runs.find(run)
        console = Console(stderr=as_json, highlight=False)
        with ConsoleReporter(console) as reporter:
            directory = measure_version(Bench(checkout, state, reporter), version, record, protocol)
    report = read_report(directory / REPORT_FILE)
    seen = trained_on(state, version, report)
    if as_json:
        found = {"model": asdict(version), "run": record.run_id, "trained_on": seen, "directory": directory}
        print_json({**found, "report_sha256": fingerprint(report), "report": report.model_dump(mode="json")})
    else:
        _print_report(console, report)
        console.print(f"\n{version}, on the data of run {record.run_id}\n{directory}", soft_wrap=True)
        if seen is None or seen:
            console.print(f"[yellow]{_caution(seen)}[/]")
    return 0


def _caution(seen: list[str] | None) -> str:
    if seen is None:
        return "Whether it was trained on logs measured here is not known: the data of its own run are gone."
    return f"It was trained on {len(seen)} of the measured logs, which are not held out for it: {', '.join(seen)}"


def _here() -> tuple[Path, Path, "MlflowClient"]:
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    apply_defaults(state)
    from flows.tracking import connect

    return checkout, state, connect()


def _made_by(runs: Runs, run_id: str) -> Any:
    try:
        return runs.find(run_id)
    except WorkspaceError as error:
        what = "the run that made this version is not among the runs here"
        raise WorkspaceError(what, got=run_id, fix="name one that is: --run RUN (worldmodel runs)") from error


def _print_report(console: Console, report: "Report") -> None:
    from evaluation.published_table import published_parts
    from evaluation.tables import report_table

    console.print(report_table(report))
    for part in published_parts(report):
        console.print(part)


def compare_two(a: str, b: str, *, as_json: bool) -> int:
    """Prints the paired differences A - B and what they amount to.

    Args:
        a, b: a run, a model as in `evaluate_version`, or a report.json (or its directory), each.
        as_json: one document on standard output.

    Raises:
        DataError: one of them has no readable report.
        ProtocolMismatchError: they were measured under protocols, or on data, that differ; says in what.
    """
    from flows.judging import differences

    first, second = _evaluated(a), _evaluated(b)
    comparison = differences(first, second)
    if as_json:
        print_json(comparison.model_dump(mode="json"))
        return 0
    from evaluation.comparison_table import comparison_table

    Console(highlight=False).print(comparison_table(comparison, a, b))
    return 0


def _evaluated(name: str) -> "Evaluated":
    """What a file, a directory, a run or a model stands for."""
    path = Path(name)
    if path.exists() or name.endswith(".json"):
        return _at(path.parent if path.suffix == ".json" else path, path.name if path.suffix == ".json" else None)
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    if not re.search(r"[/@]", name):
        try:
            record = Runs(state).find(name)
        except WorkspaceError as error:
            return _registered(name, error)
        return _at(state / "workspaces" / record.key / "artifacts" / "evaluate")
    return _registered(name)


def _at(directory: Path, file: str | None = None) -> "Evaluated":
    from evaluation.records import read_report
    from flows.judging import REPORT_FILE, Evaluated

    return Evaluated(directory, read_report(directory / (file or REPORT_FILE)))


def _registered(name: str, no_run: WorkspaceError | None = None) -> "Evaluated":
    """The report that a version's own run left."""
    from flows.judging import recorded
    from flows.registered import find
    from flows.registry import Champion, asking
    from worldmodel.errors import RegistryError

    _, state, client = _here()
    with asking():
        try:
            version = find(client, name)
        except RegistryError as error:
            if no_run is None:
                raise
            what = f"{name}: neither a report, nor a run, nor a model"
            raise DataError(what, got=f"{no_run.what}; {error.what}", fix="worldmodel runs names runs") from None
        found = recorded(client, state, Champion(version.version, version.sha256, version.report_run))
    if found is None:
        fix = f"measure it: worldmodel evaluate {name}, and compare the directory that it names"
        raise DataError(f"{version}: its run left no report that this version of the code reads", fix=fix)
    return found


def list_protocols(*, as_json: bool) -> int:
    """The presets that numbers are measured under."""
    from evaluation.protocols import PRESETS

    if as_json:
        print_json([{**p.model_dump(mode="json"), "fingerprint": p.fingerprint} for p in PRESETS.values()])
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False, width=80)
    for column in ("protocol", "fingerprint", "what it measures"):
        table.add_column(column, no_wrap=column != "what it measures")
    for each in PRESETS.values():
        table.add_row(each.name, each.fingerprint[:12], each.says)
    Console(highlight=False, width=80 if not sys.stdout.isatty() else None).print(table)
    return 0
