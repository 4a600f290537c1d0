"""What a training run tells its caller, and what the caller may ask of it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Follow:
    """How the caller follows and ends a run.

    Attributes:
        progress: told (steps done, steps in all) after each step.
        metrics: told (step, values) now and then.
        say: a line for the log.
        should_stop: asked after each step; True saves and raises Preempted.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    metrics: Callable[[int, dict[str, float]], None] = lambda step, values: None
    say: Callable[[str], None] = lambda text: None
    should_stop: Callable[[], bool] = lambda: False
