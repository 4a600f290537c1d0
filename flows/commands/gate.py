"""The commands below `gate`: `explain`, what it decided and why; `replay`, what other limits would have decided."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from flows.answers import print_json
from flows.driver import DECISION_FILE, INPUTS_FILE
from flows.environment import state_dir
from flows.git import find_checkout
from flows.runs import RunRecord, Runs
from worldmodel.errors import DataError, WorkspaceError

if TYPE_CHECKING:
    from evaluation.decision import Decision
    from evaluation.gate_config import GateLimits


@dataclass(frozen=True)
class Replayed:
    """What changed limits would have decided about one run.

    Attributes:
        run, profile: which.
        decided: the verdict under its own limits; None where what it followed from is of another version.
        now: the verdict under the changed limits; None where `skipped` says why it was not asked.
        stopped_before, stopped_now: rules that do not pass.
    """

    run: str
    profile: str
    decided: str | None
    now: str | None = None
    stopped_before: tuple[str, ...] = ()
    stopped_now: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the verdict is another."""
        return self.skipped is None and self.now != self.decided


def explain(name: str, *, as_json: bool) -> int:
    """Prints a run's decision, rule by rule, with what it was about.

    Raises:
        WorkspaceError: no such run, or the gate decided nothing there.
        DataError: its decision is of another version.
    """
    from evaluation.records import read_decision

    runs = _runs()
    record = runs.find(name)
    path = runs.folder(record.run_id) / DECISION_FILE
    if not path.is_file():
        fix = "the gate decides at the end of a whole run: worldmodel runs"
        raise WorkspaceError(f"run {record.run_id}: no decision of the gate", got=record.status, fix=fix)
    decision = read_decision(path)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        Console(highlight=False).print(_explained(record, decision))
    return 0


def replay(params: Path | None, *, as_json: bool) -> int:
    """Decides every past run anew, and prints where the verdict is another.

    Args:
        params: whose `gate` section decides about the runs under its protocol; None: that of each run's profile, as it
            is in the checkout now.
        as_json: one document on standard output.

    Raises:
        ParamsError: the limits are not valid.
        WorkspaceError: no run holds what a decision follows from.
    """
    runs, checkout = _runs(), find_checkout(Path.cwd())
    found = []
    for record in runs.newest_first():
        path = runs.folder(record.run_id) / INPUTS_FILE
        if path.is_file():
            found.append(_replayed(record, path, _limits(params, checkout, record)))
    if not found:
        fix = "runs keep it from now on: worldmodel run"
        raise WorkspaceError(f"{runs.directory}: no run with {INPUTS_FILE}", fix=fix)
    if as_json:
        print_json([asdict(one) | {"changed": one.changed} for one in found])
    else:
        Console(highlight=False).print(_table(found))
    return 0


def _runs() -> Runs:
    return Runs(state_dir(find_checkout(Path.cwd())))


def _limits(params: Path | None, checkout: Path, record: RunRecord) -> "GateLimits":
    from evaluation.gate_config import GateLimits
    from flows.params import check, read_params
    from flows.profile import profile_path

    path = profile_path(checkout, record.profile) if params is None else params
    return check(GateLimits, read_params(path).get("gate"), f"{path}: gate")


def _replayed(record: RunRecord, path: Path, limits: "GateLimits") -> Replayed:
    from evaluation.gate import decide
    from evaluation.records import read_gate_inputs

    try:
        inputs = read_gate_inputs(path)
    except DataError as error:
        return Replayed(record.run_id, record.profile, None, skipped=error.what.removeprefix(f"{path}: "))
    before = decide(inputs)
    if limits.protocol != inputs.limits.protocol:
        skipped = f"judged under the protocol {inputs.limits.protocol}, and the limits are for {limits.protocol}"
        return Replayed(record.run_id, record.profile, before.verdict, skipped=skipped)
    now = decide(inputs.model_copy(update={"limits": limits}))
    return Replayed(record.run_id, record.profile, before.verdict, now.verdict, _stopped(before), _stopped(now))


def _stopped(decision: "Decision") -> tuple[str, ...]:
    return tuple(rule.id for rule in decision.rules if rule.verdict != "pass")


def _explained(record: RunRecord, decision: "Decision") -> Group:
    from evaluation.tables import decision_table

    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(record, decision):
        facts.add_row(name, escape(value))
    return Group(facts, "", decision_table(decision))


def _facts(record: RunRecord, decision: "Decision") -> list[tuple[str, str]]:
    found = [("run", f"{record.run_id}, profile {record.profile}")]
    if decision.evidence is not None:
        champion = decision.evidence.champion_sha256
        found += [("candidate", decision.evidence.candidate_sha256[:16]), ("champion", (champion or "not known")[:16])]
    if decision.limits is not None:
        found.append(("protocol", f"{decision.limits.protocol}, {decision.limits.preset.fingerprint[:16]}"))
    for name in ("report", "champion_report", "comparison"):
        sha256 = getattr(decision, f"{name}_sha256")
        found.append((name.replace("_", " "), "none" if sha256 is None else sha256[:16]))
    return found


def _table(found: list[Replayed]) -> Table:
    changed = sum(one.changed for one in found)
    title = f"{changed} of {len(found)} verdicts change"
    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left", width=80)
    for column in ("run", "decided", "would be"):
        table.add_column(column, no_wrap=True)
    table.add_column("rules that stop it now (-), or no more (+)", overflow="fold")
    for one in found:
        table.add_row(one.run, one.decided or "-", _would_be(one), escape(one.skipped or _rules(one)))
    return table


def _would_be(one: Replayed) -> str:
    if one.skipped is not None or one.now is None:
        return "[dim]not asked[/]"
    return f"[bold]{one.now}[/]" if one.changed else one.now


def _rules(one: Replayed) -> str:
    """Rules that newly stop the run (-), and those that stop it no more (+)."""
    news = [f"- {rule}" for rule in one.stopped_now if rule not in one.stopped_before]
    return "\n".join([*news, *(f"+ {rule}" for rule in one.stopped_before if rule not in one.stopped_now)])
