"""What a run tells whoever watches: an interface, and the silent one. `flows.console` draws it in a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from flows.pipeline import StageRun
    from flows.runs import RunRecord


class Reporter:
    """Says nothing; the base of those that do. Used as a context manager for the length of a run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clear away."""

    def say(self, text: str) -> None:
        """A sentence about the run as a whole."""

    def run_opened(self, record: "RunRecord", stages: list[str], workspace: Path) -> None:
        """The run has an id and a workspace."""

    def stage_started(self, stage: str) -> None:
        """DVC was started for a stage."""

    def stage_progress(self, stage: str, progress: dict[str, Any] | None) -> None:
        """`done`, `total` and `unit`; called several times a second, None before the stage said anything."""

    def stage_done(self, result: "StageRun") -> None:
        """A stage is up to date."""
