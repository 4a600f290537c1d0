"""One history for the questions that an auditor asks, and copies of it that a test may go on with."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.audit.books import Books, open_books
from flows.manifest import write_manifest
from tests.flows import history
from tests.flows.copied import copied
from tests.flows.history import History, make_history

EXPECTATION = {
    "check": "ids are unique",
    "type": "expect_column_values_to_be_unique",
    "column": "clip_id",
    "kwargs": {"column": "clip_id"},
    "not_applicable": False,
    "observed": {"checked": 8},
    "clips": [],
    "values": [],
    "exception": None,
}


def verdict(fit: bool) -> dict[str, Any]:
    """What the stage `validate` writes: one suite with one expectation."""
    result = {**EXPECTATION, "success": fit, "unexpected_count": 0 if fit else 3}
    return {
        "schema_version": "worldmodel.verdict/1",
        "success": fit,
        "suite_version": 2,
        "seed": 7,
        "n_clips": 8,
        "sampled": ["log-b-clip0", "log-c-clip0"],
        "suites": [{"name": "manifest", "fingerprint": "f" * 64, "success": fit, "expectations": [result]}],
        "errors": {},
        "skipped": [],
    }


def judging(fit: bool) -> Callable[..., str]:
    """`history._make_stage`, but `validate` leaves a verdict as the stage does."""
    make = history._make_stage

    def make_stage(made: History, workspace: Path, stage: str, content: str, logs: tuple[str, ...]) -> str:
        outcome = make(made, workspace, stage, content, logs)
        if stage == "validate":
            out = workspace / "artifacts" / stage
            (out / "verdict.json").write_text(json.dumps(verdict(fit)))
            write_manifest(out, stage)
        return outcome

    return make_stage


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Three runs: promoted, refused, promoted. No test may change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_make_stage", judging(fit=True))
        made = make_history(tmp_path_factory.mktemp("asked"))
    yield made
    made.ledger.close()


@pytest.fixture(scope="session")
def books(past: History) -> Iterator[Books]:
    """The books of that history, now."""
    with open_books(past.state, past.root) as found:
        yield found


@pytest.fixture
def made(past: History, tmp_path: Path) -> Iterator[History]:
    """A copy of that history to go on with."""
    copy = copied(past, tmp_path)
    yield copy
    copy.ledger.close()
