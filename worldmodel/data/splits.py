"""Which logs train, which tune and which measure: by log, never by frame.

Logs of a source are ranked by a hash of (seed, log id), and the ranking is cut: test first, then val, the rest trains.
So the split of a log depends on chance alone, and adding logs moves only those next to a cut.

Few logs: with three or more, every split with a share gets at least one. With two, one trains and one measures (test;
val if test has no share), because a model chosen on the log that measures it would be worth little. A single log
trains, and the frames that must not be read are for `heldout_frames` to say.

Logs whose split is pinned (an official split) keep it and are not ranked; the others are ranked among themselves.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from worldmodel.data.config import SplitFractions
from worldmodel.data.manifest import Split
from worldmodel.errors import ParamsError

_SHOWN = 20  # known log ids that a message names


def assign_splits(
    log_ids: Sequence[str], fractions: SplitFractions, seed: int, pinned: Mapping[str, Split] | None = None
) -> dict[str, Split]:
    """The split of every log of one source; `pinned` may name logs of other sources too."""
    given = pinned or {}
    splits: dict[str, Split] = {log_id: given[log_id] for log_id in log_ids if log_id in given}
    free = [log_id for log_id in log_ids if log_id not in given]
    ranked = sorted(free, key=lambda log_id: hashlib.sha256(f"{seed}:{log_id}".encode()).digest())
    n_test, n_val = _held_out_counts(len(ranked), fractions)
    for rank, log_id in enumerate(ranked):
        splits[log_id] = "test" if rank < n_test else "val" if rank < n_test + n_val else "train"
    return splits


def refuse_unknown_pins(pinned: Iterable[str], logs_by_source: Mapping[str, Sequence[str]]) -> None:
    """Checks that pinned logs of this run's sources exist; those of other sources are none of this run's business.

    Raises:
        ParamsError: a pinned log id begins with a source's name, and the source has no such log.
    """
    all_known = {log_id for known in logs_by_source.values() for log_id in known}
    for log_id in sorted(set(pinned) - all_known):
        for name, known in logs_by_source.items():
            if log_id.startswith(f"{name}-"):
                shown = ", ".join(sorted(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
                what = f"prepare.pinned_splits: source {name} has no log {log_id}"
                raise ParamsError(what, expected=shown, fix="correct the log id, or remove it")


def _held_out_counts(n_logs: int, fractions: SplitFractions) -> tuple[int, int]:
    """Logs for test and for val; at least one log is left to train."""
    if n_logs < 2:
        return 0, 0
    n_test = max(1, round(n_logs * fractions.test)) if fractions.test else 0
    n_val = max(1, round(n_logs * fractions.val)) if fractions.val else 0
    while n_test + n_val >= n_logs:
        n_test, n_val = (n_test, n_val - 1) if n_val >= n_test else (n_test - 1, n_val)
    return n_test, n_val
