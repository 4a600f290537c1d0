"""`worldmodel run`."""

import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from flows.cli import print_json
from flows.console import ConsoleReporter
from flows.driver import Driver, Request
from flows.embedded import prefect_api
from flows.environment import apply_defaults, state_dir
from flows.git import find_checkout
from flows.opening import opened
from flows.reporter import Reporter

EXIT_TERMINATED = 143


def run_lifecycle(request: Request, *, as_json: bool) -> int:
    """Runs the flow `lifecycle` here; returns the exit code."""
    clock = _Clock()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # until Prefect has its own, and after
    checkout = find_checkout(Path.cwd())
    state = state_dir(checkout)
    apply_defaults(state)
    console = Console(stderr=as_json, highlight=False)
    reporter = Reporter() if as_json else ConsoleReporter(console)
    try:
        with prefect_api(state) as server, reporter, opened(checkout, state, request, reporter) as driver:
            clock.mark("snapshot, workspace, dvc status, mlflow")
            from flows.lifecycle import run_with

            clock.mark("import of prefect")
            if server:
                server.wait()
            clock.mark("wait for the embedded Prefect server")
            run_with(driver)
            clock.mark("flow")
            driver.record.overhead_s = clock.parts(driver)
        if as_json:
            print_json({**asdict(driver.record), "pictures": pictures(driver.workspace)})
        else:
            _conclude(console, driver)
        return int(driver.record.exit_code or 0)
    except BaseException as error:
        if type(error).__name__ != "TerminationSignal":  # Prefect's word for SIGTERM
            raise
        print("stopped; `worldmodel run` goes on from here", file=sys.stderr)
        return EXIT_TERMINATED


class _Clock:
    """Where the time went that no stage used."""

    def __init__(self) -> None:
        self._last, self._marks = _process_start(), {}
        self.mark("start of Python, import of the command")

    _marks: dict[str, float]

    def mark(self, name: str) -> None:
        """Ends a part."""
        now = time.time()
        self._marks[name] = now - self._last
        self._last = now

    def parts(self, driver: Driver) -> dict[str, float]:
        """Seconds by part; the flow's own are what is left of it without the stages."""
        stages = sum(stage["seconds"] for stage in driver.record.stages.values())
        parts = {**self._marks, "flow": self._marks["flow"] - stages}
        return {name: round(seconds, 2) for name, seconds in parts.items()}


def _process_start() -> float:
    import psutil

    return psutil.Process().create_time()


def pictures(workspace: Path) -> list[str]:
    """The pictures of a run's evaluation."""
    return [str(path) for path in sorted((workspace / "artifacts" / "evaluate" / "pictures").glob("*"))]


def _conclude(console: Console, driver: Driver) -> None:
    """Tells how it ended, and where to look."""
    from flows.commands.tables import overhead_line, print_outcome

    print_outcome(console, driver.record, driver.workspace, driver.decision)
    console.print(overhead_line(driver.record), style="dim")
