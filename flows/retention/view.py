"""What a plan is made from."""

from dataclasses import dataclass

from flows.retention.kept import Kept, KnownRun
from flows.retention.recalls import Tainted
from flows.retention.rule import YOUNG_S, Place, Rule


@dataclass(frozen=True)
class View:
    """A state directory as it stands, and the rule that is asked for.

    Attributes:
        told: when a tombstone was written for a path, epoch seconds.
        at_work: whether a run or a measurement is at work.
    """

    place: Place
    rule: Rule
    known: list[KnownRun]
    kept: Kept
    tainted: Tainted
    told: dict[str, float]
    at_work: bool

    def is_young(self, changed: float) -> bool:
        """Whether it was made so lately that it may belong to what is being made."""
        return changed > self.rule.now - YOUNG_S

    @property
    def kept_keys(self) -> set[str]:
        """The workspaces of kept runs."""
        return {run.key for run in self.known if run.key and run.run_id in self.kept.why}
