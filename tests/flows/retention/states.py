"""What these tests ask of a history, and put into its state directory."""

import hashlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from flows.git import git
from flows.ledger.store import Ledger, ledger_url
from flows.lineage.records import Records
from flows.retention.plan import make_plan
from flows.retention.rule import Item, Place, Plan, Rule
from flows.runs import RunRecord
from tests.flows.history import History

AN_HOUR = 3700.0


def with_workspaces(past: History, checkout: Path) -> History:
    """A copy of a history whose workspaces are worktrees of the copy; close its ledger in the end."""
    shutil.copytree(past.root, checkout, symlinks=True)
    state = checkout / ".worldmodel"
    git(checkout, "worktree", "repair", *(str(state / "workspaces" / run.key) for run in past.runs))
    ledger = Ledger.open(ledger_url(state))
    return replace(past, root=checkout, state=state, records=Records(state / "records"), ledger=ledger)


def place_of(made: History) -> Place:
    return Place(made.root, made.state, made.ledger, made.records)


def plan_of(made: History, newest: int = 1, ahead: float = AN_HOUR, **rule: Any) -> Plan:
    """The plan, as if it were made an hour from now: nothing is too young to go."""
    return make_plan(place_of(made), Rule(newest, now=time.time() + ahead, **rule))


def going(plan: Plan, kind: str) -> list[Item]:
    return [item for item in plan.items if item.kind == kind]


def paths(plan: Plan, kind: str) -> set[str]:
    return {item.path for item in going(plan, kind)}


def objects_of(made: History, run: RunRecord, *stages: str) -> set[str]:
    """The objects of a run's outputs (of these stages; none named: of all), from its lock and DVC's listings."""
    lock = yaml.safe_load((made.state / "runs" / run.run_id / "dvc.lock").read_text())["stages"]
    listings = [out["md5"] for name, entry in lock.items() if not stages or name in stages for out in entry["outs"]]
    rows = [row for name in listings for row in json.loads(object_file(made.state, name).read_text())]
    return {*listings, *(row["md5"] for row in rows)}


def object_file(state: Path, name: str) -> Path:
    return state / "cache" / "files" / "md5" / name[:2] / name[2:]


def put(path: Path, content: str | bytes = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def put_object(state: Path, content: bytes, suffix: str = "") -> str:
    """Keeps an object as DVC does; returns its name."""
    name = hashlib.md5(content).hexdigest() + suffix
    put(object_file(state, name), content)
    return name


def tree_digest(root: Path) -> str:
    """Of every path, file and right below a folder."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        total.update(f"{path.relative_to(root)} {path.lstat().st_mode} {len(content)}\n".encode() + content)
    return total.hexdigest()
