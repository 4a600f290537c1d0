"""The commands that only look: `status`, `runs`, `show`, `doctor`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.answers import print_json
from flows.commands.tables import coloured, links, print_outcome, runs_table, stages_table, when
from flows.environment import apply_defaults, stage_environment, state_dir
from flows.explain import explain
from flows.git import find_checkout
from flows.runs import RunRecord, Runs


def _here() -> tuple[Path, Path]:
    checkout = find_checkout(Path.cwd())
    return checkout, state_dir(checkout)


def _workspace(state: Path, record: RunRecord) -> Path:
    return state / "workspaces" / record.key


def list_runs(limit: int, *, as_json: bool) -> int:
    """The newest runs."""
    records = list(Runs(_here()[1]).newest_first())[:limit]
    if as_json:
        print_json([asdict(record) for record in records])
    elif records:
        Console(highlight=False).print(runs_table(records))
    else:
        print("no runs yet: worldmodel run")
    return 0


def show_run(name: str, *, why: bool, as_json: bool) -> int:
    """One run, whole."""
    _, state = _here()
    runs = Runs(state)
    record = runs.find(name)
    reasons = explain(runs, record) if why else None
    decision_file = runs.folder(record.run_id) / "decision.json"
    workspace = _workspace(state, record)
    if as_json:
        decision = json.loads(decision_file.read_text()) if decision_file.is_file() else None
        print_json({**asdict(record), "why": reasons, "decision": decision, "links": links(record, workspace)})
        return 0
    console = Console(highlight=False)
    console.print(f"run [bold]{record.run_id}[/], started {when(record.started_at)}, snapshot {record.snapshot[:12]}")
    console.print(stages_table(record, reasons))
    print_outcome(console, record, workspace, _decision(decision_file))
    return 0


def _decision(path: Path) -> Any:
    from evaluation.records import read_decision

    return read_decision(path) if path.is_file() else None


def status(*, as_json: bool) -> int:
    """Runs at work, stages out of date in the newest run's workspace, and the champion."""
    checkout, state = _here()
    apply_defaults(state)
    records = list(Runs(state).newest_first())
    at_work = [record for record in records if record.status == "running"]
    found: dict[str, Any] = {
        "at_work": [asdict(record) for record in at_work],
        "newest": asdict(records[0]) if records else None,
        "checkout_changed": _checkout_changed(checkout, state, records[0]) if records else None,
        "out_of_date": _out_of_date(state, records[0]) if records and not at_work else None,
        "champions": _champions(state),
        "flags": _flags(state),
        "state": str(state),
    }
    if as_json:
        print_json(found)
        return 0
    console = Console(highlight=False)
    for record in at_work:
        console.print(f"at work  {record.run_id}, since {when(record.started_at)}: worldmodel cancel {record.run_id}")
    if records:
        console.print(f"newest   {records[0].run_id}: {coloured(records[0].status)} {records[0].decision or ''}")
    else:
        console.print("no runs yet: worldmodel run")
    if found["checkout_changed"]:
        console.print("to do    the checkout has changed since that run: worldmodel run")
    elif found["out_of_date"]:
        console.print(f"to do    {', '.join(found['out_of_date'])}: worldmodel run")
    for name, champion in found["champions"].items():
        console.print(f"champion {name} version {champion['version']}, {champion['sha256'][:16]}")
    for flag in found["flags"]:
        console.print(f"recalled {flag['name']} version {flag['version']} has seen {flag['recalled']}: worldmodel run")
    if not found["champions"]:
        console.print("champion none yet")
    return 0


def _checkout_changed(checkout: Path, state: Path, record: RunRecord) -> bool:
    """Whether a run of the same profile and data would be made from something else now."""
    from flows.profile import profile_path
    from flows.workspace import SOURCES_FILE, take_snapshot

    sources = _workspace(state, record) / SOURCES_FILE
    if not sources.is_file():
        return True
    return (
        take_snapshot(checkout, profile_path(checkout, record.profile).read_text(), sources.read_text()).key
        != record.key
    )


def _out_of_date(state: Path, record: RunRecord) -> list[str]:
    from flows.pipeline import stage_names, stale_stages

    workspace = _workspace(state, record)
    if not workspace.is_dir():
        return []
    stale = stale_stages(workspace, stage_environment(state))
    return [name for name in stage_names(workspace) if name in stale]


def _flags(state: Path) -> list[dict[str, Any]]:
    """The champions, as the ledger has them, that have seen data which are recalled."""
    from flows.ledger.standing import champions, standing_flags
    from flows.ledger.store import Ledger, ledger_url

    url = ledger_url(state)
    if url == f"sqlite:///{state / 'ledger.db'}" and not (state / "ledger.db").exists():
        return []  # asking would create it
    entries = list(Ledger.open(url).entries())
    flagged = standing_flags(entries)
    return [
        flag.model_dump() for standing in champions(entries).values() for flag in flagged.get(standing.model_sha256, [])
    ]


def _champions(state: Path) -> dict[str, Any]:
    import os

    if os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{state / 'mlflow.db'}" and not (state / "mlflow.db").exists():
        return {}  # asking would create it
    from flows import registry
    from flows.tracking import connect

    client = connect()
    names = [model.name for model in client.search_registered_models()]
    found = {name: registry.champion(client, name) for name in names}
    return {name: asdict(champion) for name, champion in found.items() if champion is not None}


def run_doctor(*, as_json: bool) -> int:
    """The checks of `flows.doctor`; 1 when one fails."""
    from flows.doctor import checks_table, diagnose

    checks = diagnose()
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        Console(highlight=False).print(checks_table(checks))
    return int(any(check.status == "fail" for check in checks))
