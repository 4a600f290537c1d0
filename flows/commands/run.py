"""`worldmodel run`."""

import signal
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from flows.answers import print_json
from flows.clock import ImportClock
from flows.console import ConsoleReporter
from flows.driver import Driver, Request
from flows.embedded import prefect_api
from flows.environment import apply_defaults, state_dir
from flows.git import find_checkout
from flows.opening import EXIT_TERMINATED, opened
from flows.runs import RunRecord
from worldmodel.errors import Preempted


def run_lifecycle(request: Request, *, as_json: bool) -> int:
    """Runs the flow `lifecycle` here; returns the exit code."""
    clock = ImportClock()
    marks: dict[str, float] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # until Prefect has its own, and after
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    apply_defaults(state)
    console = Console(stderr=as_json, highlight=False)
    reporter = ConsoleReporter(console)
    try:
        with prefect_api(state) as server, reporter, opened(checkout, state, request, reporter) as driver:
            marks |= {"opened": clock.total(), "imports when opened": clock.seconds}
            from flows.lifecycle import run_with

            if server:
                server.wait()
            marks |= {"server": clock.total(), "imports with server": clock.seconds}
            driver.embedded_prefect = server is not None
            run_with(driver)
            marks["flow"] = clock.total()
            driver.record.overhead_s = _parts(clock, marks, driver.record)
        if as_json:
            print_json({**asdict(driver.record), "pictures": pictures(driver.workspace)})
        else:
            _conclude(console, driver)
        return int(driver.record.exit_code or 0)
    except Preempted:
        print("preempted; `worldmodel run` goes on from here", file=sys.stderr)
        return EXIT_TERMINATED
    except BaseException as error:
        if type(error).__name__ != "TerminationSignal":  # Prefect's word for SIGTERM
            raise
        print("stopped; `worldmodel run` goes on from here", file=sys.stderr)
        return EXIT_TERMINATED


def _parts(clock: ImportClock, marks: dict[str, float], record: RunRecord) -> dict[str, float]:
    """Where the time went in which no stage worked, in seconds; the whole run is `total`."""
    stages = record.stages.values()
    inside = sum(stage["process_s"] for stage in stages)
    opening, waiting = marks["opened"], marks["server"] - marks["opened"]
    parts = {
        "imports of the stages": sum(stage["imports_s"] for stage in stages),
        "imports of the driver": clock.seconds,
        "git, DVC, MLflow at the start": opening - marks["imports when opened"],
        "waiting for Prefect's server": waiting - (marks["imports with server"] - marks["imports when opened"]),
        "Prefect, DVC, MLflow around the stages": marks["flow"] - marks["server"] - inside,
    }
    late = clock.seconds - marks["imports with server"]
    parts["Prefect, DVC, MLflow around the stages"] -= late
    return {name: round(max(seconds, 0.0), 2) for name, seconds in {**parts, "total": marks["flow"]}.items()}


def pictures(workspace: Path) -> list[str]:
    """The pictures of a run's evaluation."""
    return [str(path) for path in sorted((workspace / "artifacts" / "evaluate" / "pictures").glob("*"))]


def _conclude(console: Console, driver: Driver) -> None:
    """Tells how it ended, and where to look."""
    from flows.commands.tables import budget_table, overhead_lines, print_outcome

    console.print(budget_table(driver.record))
    print_outcome(console, driver.record, driver.workspace, driver.decision)
    console.print(overhead_lines(driver.record), style="dim")
