"""Taking a model back to a version that served before: a promotion like any other, recorded with its reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.ledger.entry import Entry
from flows.ledger.standing import Standing, history, registered
from flows.promotion.models import unknown_version
from flows.promotion.promote import Promotion, carry_out
from flows.promotion.recalls import SeenRecalled, flagged
from flows.promotion.reconcile import place, version_text
from flows.registry import Champion
from worldmodel.errors import ParamsError, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flows.ledger.store import Ledger


@dataclass(frozen=True)
class Rollback:
    """What is asked for.

    Attributes:
        to: a version that was champion; None: the champion before the present one.
        accept_recalled: take a version that has seen recalled data; the recorded reason then says so.
    """

    name: str
    reason: str
    to: str | None = None
    accept_recalled: bool = False


def roll_back(
    ledger: "Ledger",
    client: "MlflowClient",
    asked: Rollback,
    actor: str,
    recalled: SeenRecalled = flagged,
) -> list[Entry]:
    """Makes an earlier version champion; returns all that was recorded.

    Args:
        ledger, client, asked, actor: both sides, what is asked for, and by whom.
        recalled: tells what recalled data a model has seen, in words (`flows.promotion.recalls`).

    Raises:
        ParamsError: no reason is given.
        RegistryError: there is no version to go back to, it has never been champion, it has seen recalled data, or as
            `flows.promotion.promote.promote`.
        LedgerError: as that.
    """
    if not asked.reason.strip():
        raise ParamsError("--reason: say why", expected="a reason, for whoever reads the ledger", got="nothing")

    def plan(serving: Champion | None) -> Promotion:
        entries = list(ledger.entries())
        version = asked.to or _before(entries, asked.name, serving)
        model = registered(entries).get((asked.name, version))
        if model is None:
            raise unknown_version(asked.name, version, registered(entries).values())
        _check_has_served(entries, asked.name, version)
        seen = recalled(entries, model.model_sha256)
        if seen and not asked.accept_recalled:
            raise RegistryError(
                f"version {version} of {asked.name} has seen recalled data",
                got=", ".join(seen),
                fix="name another version: --to VERSION; or accept it, which is recorded: --accept-recalled",
            )
        accepted = f" (accepted although it has seen recalled data: {', '.join(seen)})" if seen else ""
        return Promotion(
            name=asked.name,
            version=version,
            model_sha256=model.model_sha256,
            expected=None if serving is None else serving.version,
            cause="rollback",
            reason=asked.reason + accepted,
            run_id=model.run_id,
        )

    return carry_out(ledger, client, asked.name, plan, actor)


def earlier(entries: Iterable[Entry], name: str) -> str | None:
    """The champion before the present one; None where there was none.

    A champion that was rolled back does not count as one before: after 1, 2, 3 and a rollback to 2 it is 1.
    """
    served: list[str] = []
    for standing in history(entries, name):
        if standing.intent.cause == "rollback":
            served = served[:-1]
            if standing.version in served:
                served = served[: served.index(standing.version)]
        served.append(standing.version)
    return served[-2] if len(served) > 1 else None


def _check_has_served(entries: Sequence[Entry], name: str, version: str) -> None:
    """No gate is asked about a rollback, so it leads only to what a gate has let through before."""
    served = _served(history(entries, name))
    if version not in served:
        raise RegistryError(
            f"version {version} of {name} has never been champion, so there is no going back to it",
            expected=" or ".join(served) or "none has served yet",
            got=version,
            fix=f"if its gate let it through: worldmodel promote {name}/{version}",
        )


def _served(champions: Iterable[Standing]) -> list[str]:
    """The versions that have been champion, in order of their numbers."""
    return sorted({standing.version for standing in champions}, key=int)


def _before(entries: Sequence[Entry], name: str, serving: Champion | None) -> str:
    champions = history(entries, name)
    present = (champions[-1].version, champions[-1].model_sha256) if champions else (None, None)
    found = place(serving)
    if found != present:
        raise RegistryError(
            f"the champion of {name} is not the one that the ledger has, so there is no telling which was before it",
            expected=version_text(present[0]),
            got=version_text(found[0]),
            fix=f"name the version to go to: --to {' or '.join(_served(champions))}" if champions else "worldmodel run",
        )
    version = earlier(entries, name)
    if version is None:
        raise _no_way_back(name, found[0], _served(champions))
    return version


def _no_way_back(name: str, serving: str | None, served: Sequence[str]) -> RegistryError:
    """The error where no champion came before the one that serves."""
    if serving is None:
        return RegistryError(f"{name} has no champion, so there is nothing to take back", fix="worldmodel run")
    later = [version for version in served if version != serving]
    fix = "train and measure a better model, which then takes its place: worldmodel run"
    if later:  # rolled back as far as it goes
        fix = f"name one that served later: --to {' or '.join(later)}; or {fix}"
    return RegistryError(f"{name} had no champion before version {serving}: there is none to go back to", fix=fix)
