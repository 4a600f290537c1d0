"""A run in a terminal: one line a stage, with a bar, the rate and the time left."""

from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from flows.pipeline import StageRun
from flows.reporter import Reporter
from flows.runs import RunRecord

_MARK = {"cached": "[dim]=[/]", "restored": "[cyan]=[/]", "ran": "[green]✓[/]"}


class ConsoleReporter(Reporter):
    """Draws while used as a context manager; plain lines where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<25}"),
            BarColumn(bar_width=16),
            _Amount(),
            _TimeLeft(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def run_opened(self, record: RunRecord, stages: list[str], workspace: Path) -> None:
        dirty = " [yellow](uncommitted changes)[/]" if record.dirty else ""
        names = ", ".join(source["name"] for source in record.sources)
        self._console.print(
            f"run [bold]{record.run_id}[/]{dirty}  profile {record.profile}, data {names}", highlight=False
        )

    def stage_started(self, stage: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=None)

    def stage_progress(self, stage: str, progress: dict[str, Any] | None) -> None:
        self.stage_started(stage)
        if progress:
            self._bars.update(
                self._tasks[stage], completed=progress["done"], total=progress["total"], unit=progress["unit"]
            )

    def stage_done(self, result: StageRun) -> None:
        if (bar := self._tasks.pop(result.stage, None)) is not None:
            self._bars.remove_task(bar)
        text = {"cached": "up to date", "restored": "restored from the cache", "ran": f"{result.seconds:.1f} s"}
        self._console.print(f" {_MARK[result.outcome]} {result.stage:<25} {text[result.outcome]}", highlight=False)


class _Amount(ProgressColumn):
    """`done/total unit`."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("starting", style="dim")
        return Text(f"{int(task.completed)}/{int(task.total)} {task.fields.get('unit', '')}")


class _TimeLeft(ProgressColumn):
    """Time since the start and, once there is a rate, the time left."""

    def render(self, task: Task) -> Text:
        spent, left = int(task.elapsed or 0), task.time_remaining
        text = f"{spent // 60}:{spent % 60:02d}"
        if left is not None and not task.finished:
            text += f", {int(left) // 60}:{int(left) % 60:02d} left"
        return Text(text, style="cyan")
