"""What recalled data a model has seen, by its lineage, on a history of three runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.ledger.bodies import DataRecalled
from flows.promotion.approved import judged
from flows.promotion.models import find_version
from flows.promotion.recalls import by_lineage, flagged
from tests.flows.history import MODEL, History, make_history


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Three runs: the first two saw log-a, the third log-e in its place."""
    made = make_history(tmp_path_factory.mktemp("past"))
    yield made
    made.ledger.close()


def test_a_model_has_seen_what_its_lineage_holds(past: History) -> None:
    seen, models = by_lineage(past.state, past.records), [run.model["sha256"] for run in past.runs]
    entries = list(past.ledger.entries())
    assert [seen(entries, model) for model in models] == [[], [], []]
    assert not Path(past.state / "lineage.db").exists()  # nothing is recalled, so nothing was asked
    past.ledger.append_all(
        [DataRecalled(what="log", id="log-a", reason="r"), DataRecalled(what="clip", id="log-e-clip1", reason="r")], "a"
    )
    entries = list(past.ledger.entries())
    assert [seen(entries, model) for model in models] == [["log log-a"], ["log log-a"], ["clip log-e-clip1"]]
    assert flagged(entries, models[0]) == []  # nobody has flagged it
    (unknown,) = seen(entries, "f" * 64)
    assert unknown.startswith("nobody knows what: ")


def test_the_gates_word_is_read_from_the_records_that_runs_leave(past: History) -> None:
    entries = list(past.ledger.entries())
    found = [judged(entries, past.records, find_version(entries, f"{MODEL}/{number}")) for number in (1, 2, 3)]
    first = past.runs[0].model["sha256"]
    assert [run.verdict for run in found] == ["promote", "refuse", "promote"]
    assert [run.champion_sha256 for run in found] == [None, first, first]
    assert [run.run_id for run in found] == [run.run_id for run in past.runs]
