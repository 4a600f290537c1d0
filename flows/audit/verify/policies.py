"""Whether a promotion kept to the policy of the run that it rests on: approvals, and separation of duties."""

from collections import defaultdict

from flows.audit.verify.entries import Told
from flows.audit.verify.runs import Run, Shelf
from flows.ledger.bodies import PromotionIntended
from flows.ledger.entry import Entry
from flows.ledger.keys import KEY_KINDS
from flows.lineage.records import PARAMS
from flows.promotion.approvals import complaints
from flows.promotion.policy import PromotionPolicy, read_policy


class Policies:
    """The policies in the runs' params.yaml, and the part of the ledger that each model's promotions depend on."""

    def __init__(self, told: list[Told], runs: list[Run], shelf: Shelf) -> None:
        self._runs, self._shelf = {run.statement.run_id: run for run in runs}, shelf
        self._keys = [one.entry for one in told if one.entry.kind in KEY_KINDS]
        self._of_model: dict[str, list[Entry]] = defaultdict(list)
        for one in told:
            sha256 = getattr(one.body, "model_sha256", None)
            if isinstance(sha256, str):
                self._of_model[sha256].append(one.entry)

    def __call__(self, sequence: int, intent: PromotionIntended) -> tuple[str, ...]:
        """What the intent in entry `sequence` does against its policy; nothing where the policy is not known here.

        Raises:
            ParamsError: the policy cannot be read.
        """
        policy = self._policy(intent)
        if policy is None:
            return ()
        before = [*self._keys, *self._of_model[intent.model_sha256]]
        return tuple(complaints(sorted((e for e in before if e.sequence < sequence), key=_place), intent, policy))

    def _policy(self, intent: PromotionIntended) -> PromotionPolicy | None:
        run = self._runs.get(intent.run_id or "")
        params = None if run is None else self._shelf.bytes(run.statement, PARAMS)
        return None if params is None else read_policy(params.decode(), f"run {intent.run_id}: {PARAMS}")


def _place(entry: Entry) -> int:
    return entry.sequence
