"""Whether a model was measured on logs that its training never read."""

import pytest

from flows.audit.books import Books, open_books
from flows.audit.disjoint import Disjoint, disjoint
from tests.flows.audit.going_on import add_pupil, add_with_rows
from tests.flows.history import GOOD, History, add_run


def asked(made: History, spec: str) -> Disjoint:
    with open_books(made.state) as books:
        return disjoint(books, spec)


def shared(found: Disjoint) -> list[tuple[str, str, str]]:
    return [(one.log_id, one.trained, one.measured) for one in found.shared]


def test_logs_on_one_side_alone_are_disjoint_and_counted(books: Books) -> None:
    found = disjoint(books, "toy/1")
    assert (found.verdict, found.n_training_logs, found.n_measured_logs, found.shared) == ("disjoint", 2, 2, ())
    assert found.sentence == "none of the 2 measured logs is among the 2 that trained"
    (data,) = found.data
    assert data.used_for == ("training", "measuring")
    assert [(c.split, c.clips, c.logs) for c in data.counts] == [("train", 4, 2), ("val", 2, 1), ("test", 2, 1)]


def test_a_log_that_trained_a_teacher_and_measures_its_pupil_is_found(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pupil(made, monkeypatch)
    found = asked(made, "toy/4")
    assert (found.verdict, shared(found)) == ("shared", [("log-b", "train", "test")])
    assert found.sentence == "1 of 3 measured logs are not held out: training read them, or chose by them"
    assert [data.used_for for data in found.data] == [("training",), ("training", "measuring")]


def test_a_log_whose_clips_are_in_two_splits_is_found(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    add_with_rows(made, monkeypatch, ("log-b", "log-c", "log-d"), log_b_clip1={"split": "val"})
    assert shared(asked(made, "toy/4")) == [("log-b", "train", "val")]
    add_with_rows(made, monkeypatch, ("log-a", "log-c", "log-d"), log_c_clip1={"split": "test"})
    assert shared(asked(made, "toy/5")) == [("log-c", "val", "test")]


def test_logs_that_hold_out_frames_alone_are_told_apart(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"heldout_frames": [1, 2]}
    add_with_rows(made, monkeypatch, ("log-b", "log-c", "log-d"), log_b_clip0=held, log_b_clip1=held)
    found = asked(made, "toy/4")
    assert (found.verdict, found.held_out_by_frames) == ("disjoint", {"log-b": 2})


def test_where_nothing_is_held_out_nothing_is_shown(made: History) -> None:
    add_run(made, "one", ("log-a", "log-b"), GOOD, turn=4)
    found = asked(made, "toy/4")
    assert (found.verdict, found.n_training_logs, found.n_measured_logs) == ("not shown", 2, 0)
    assert "was not shown" in found.sentence


def test_pretrained_weights_of_unknown_making_are_named(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    add_pupil(made, monkeypatch, teacher="e" * 64)
    found = asked(made, "toy/4")
    assert (found.verdict, found.unknown_networks) == ("disjoint", ("e" * 64,))
