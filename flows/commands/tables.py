"""What commands print for people; 80 columns."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.runs import RunRecord

if TYPE_CHECKING:
    from evaluation.decision import Decision

_BAR = 24
_COLOURS = {
    "promoted": "green",
    "already_champion": "green",
    "stopped_early": "cyan",
    "running": "cyan",
    "refused": "yellow",
    "cancelled": "yellow",
    "failed": "red",
    "killed": "red",
}


def coloured(status: str) -> str:
    """A status in its colour."""
    return f"[{_COLOURS[status]}]{status.replace('_', ' ')}[/]"


def print_outcome(console: Console, record: RunRecord, workspace: Path, decision: "Decision | None") -> None:
    """How a run ended: metrics, rules, verdict and links."""
    from evaluation.records import read_report
    from evaluation.tables import decision_table, report_table

    report = workspace / "artifacts" / "evaluate" / "report.json"
    if record.decision and report.is_file():
        console.print(report_table(read_report(report)))
    if decision is not None and decision.rules:
        console.print(decision_table(decision))
    if decision is None:
        console.print(f"[bold]{coloured(record.status)}[/] {record.error or ''}")
    if record.model:
        serves = "champion" if record.status in ("promoted", "already_champion") else "challenger"
        name, version = record.model["name"], record.model["version"]
        console.print(f"model     {name} version {version} ({serves}), weights {record.model['sha256'][:16]}")
    for name, link in links(record, workspace).items():
        console.print(f"{name:<10}{link}", soft_wrap=True)


def links(record: RunRecord, workspace: Path) -> dict[str, str]:
    """Where to look at a run."""
    found = dict(record.links)
    page = workspace.parents[1] / "runs" / record.run_id / "report.html"
    if page.is_file():
        found["page"] = str(page)
    pictures = workspace / "artifacts" / "evaluate" / "pictures"
    if pictures.is_dir():
        found["pictures"] = str(pictures)
    data_docs = workspace / "run" / "validate" / "data_docs" / "index.html"
    if data_docs.is_file():
        found["data docs"] = str(data_docs)
    found["logs"] = str(workspace / "run")
    found["record"] = f"git show refs/worldmodel/runs/{record.run_id}:dvc.lock"
    return found


def budget_table(record: RunRecord) -> Table:
    """Where the time of a run went: every stage in seconds and as a share of the whole, then what was around them."""
    total = record.overhead_s["total"]
    table = Table(box=None, header_style="bold", pad_edge=False, title="time", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for column in ("outcome", "seconds", "share"):
        table.add_column(column, justify="left" if column == "outcome" else "right")
    table.add_column("", width=_BAR)
    rows = [(name, facts["outcome"], float(facts["process_s"])) for name, facts in record.stages.items()]
    rows.append(("around the stages", "", max(total - sum(seconds for *_, seconds in rows), 0.0)))
    for name, outcome, seconds in rows:
        share = seconds / total if total else 0.0
        table.add_row(name, outcome, f"{seconds:.1f}", f"{share:.0%}", f"[cyan]{'█' * round(share * _BAR)}[/]")
    table.add_row("[bold]all[/]", "", f"[bold]{total:.1f}[/]", "", "")
    return table


def overhead_lines(record: RunRecord) -> str:
    """The time in which no stage worked: process imports on a line of their own, then the rest, part by part."""
    parts = dict(record.overhead_s)
    total = parts.pop("total")
    imports = {name: parts.pop(name) for name in list(parts) if name.startswith("imports")}
    return "\n".join(
        f"{title} {sum(of.values()):.1f} s, {sum(of.values()) / total:.0%} of {total:.1f} s: "
        + ", ".join(f"{name} {seconds:.1f}" for name, seconds in of.items())
        for title, of in (("process imports", imports), ("orchestration", parts))
    )


def runs_table(records: list[RunRecord]) -> Table:
    """Runs, newest first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("run", "status", "profile", "data", "stages ran", "minutes"):
        table.add_column(column, no_wrap=column == "run")
    for record in records:
        ran = [name for name, facts in record.stages.items() if facts["outcome"] == "ran"]
        minutes = f"{(record.ended_at - record.started_at) / 60:.1f}" if record.ended_at else ""
        sources = ", ".join(source["name"] for source in record.sources)
        counts = f"{len(ran)} of {len(record.stages)}"
        table.add_row(record.run_id, coloured(record.status), record.profile, sources, counts, minutes)
    return table


def stages_table(record: RunRecord, reasons: dict[str, list[str]] | None) -> Table:
    """The stages of a run; with `reasons`, why each ran or did not."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("outcome")
    table.add_column("seconds", justify="right")
    if reasons is not None:
        table.add_column("what changed since the run before")
    for name, facts in record.stages.items():
        row = [name, facts["outcome"], f"{facts['seconds']:.1f}"]
        table.add_row(*row, *(["\n".join(reasons[name]) or "nothing"] if reasons is not None else []))
    return table


def when(seconds: float) -> str:
    """A moment in local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
