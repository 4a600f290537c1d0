"""What a rule lets go: reads ledger, lock files and disk, and changes nothing."""

from datetime import datetime

from flows.ledger.bodies import RetentionDeleted
from flows.ledger.entry import Entry, Kind
from flows.ledger.reading import bodies
from flows.retention import disk
from flows.retention.cache import plan_cache
from flows.retention.kept import kept_runs, known_runs
from flows.retention.leavings import plan_leavings
from flows.retention.locks import busy
from flows.retention.recalls import Tainted, tainted
from flows.retention.rule import KeptRun, Place, Plan, Rule, Tally
from flows.retention.view import View
from flows.retention.workspaces import plan_workspaces

_AREAS = ("workspaces", "cache", "resume", "evaluations", "features", "performance", "rebuilds", "runs")
_KINDS: tuple[Kind, ...] = (
    "model.registered",
    "promotion.intended",
    "promotion.completed",
    "promotion.abandoned",
    "approval.recorded",
    "alias.observed",
    "run.recorded",
    "retention.deleted",
    "data.recalled",
    "data.reinstated",
)


def make_plan(place: Place, rule: Rule) -> Plan:
    """What goes and what stays under a rule.

    Raises:
        WorkspaceError: a run's record cannot be read, or git failed.
        LedgerError: ledger or index do not answer, or an entry cannot be read.
        RecordError, SigningError: with `rule.recalled`: a record is gone or altered.
    """
    entries = list(place.ledger.entries(kinds=_KINDS))
    known = known_runs(place, entries)
    kept = kept_runs(known, entries, rule)
    at_work = any(run.at_work for run in known) or bool(busy(place.state))
    found = tainted(place, entries) if rule.recalled else Tainted()
    view = View(place, rule, known, kept, found, tombstones(entries), at_work)
    tally = Tally(view.told)
    tally.notes += [f"{area} is a link: what it leads to is left alone" for area in disk.linked(place.state, *_AREAS)]
    staying = plan_workspaces(view, tally)
    plan_cache(view, staying, tally)
    plan_leavings(view, staying, tally)
    return Plan(
        rule=str(rule),
        kept=tuple(KeptRun(run_id=run_id, why=tuple(why)) for run_id, why in sorted(kept.why.items(), reverse=True)),
        items=tuple(tally.items),
        stays=tally.stayed(),
        notes=tuple(tally.notes),
        known=frozenset(run.run_id for run in known),
    )


def tombstones(entries: list[Entry]) -> dict[str, float]:
    """When retention last said that it deletes a path, in epoch seconds."""
    return {
        item.path: datetime.fromisoformat(entry.time).timestamp()
        for entry, body in bodies(entries, RetentionDeleted)
        for item in body.items
    }
