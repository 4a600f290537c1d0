"""Recalls on a history of three runs: who has seen what, what is recorded, and what stays as it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.audit.books import Books, open_books
from flows.ledger.bodies import ChampionFlagged, PromotionIntended, RetrainingProposed
from flows.ledger.reading import bodies
from flows.ledger.standing import champions, flags, recalled
from flows.recall import affected, models_that_saw, recall, recalls, recalls_text, reinstate, require_known, retraining
from flows.workspace import RECALLS_FILE
from tests.flows.copied import copied
from tests.flows.history import BETTER, History, add_run, make_history
from worldmodel.data.recalls import Recalls, recalls_json
from worldmodel.errors import RecordError


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Three runs; nothing is recalled here."""
    made = make_history(tmp_path_factory.mktemp("past"))
    yield made
    made.ledger.close()


@pytest.fixture
def made(past: History, tmp_path: Path) -> Iterator[History]:
    """Three runs of the test's own."""
    made = copied(past, tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def books(past: History) -> Iterator[Books]:
    with open_books(past.state, past.root) as books:
        yield books


def seen(books: Books, id: str) -> dict[str, dict[str, int]]:
    return {model.version: model.splits for model in affected(books, "log", id)}


def test_every_version_that_saw_a_log_is_found_with_the_split_it_was_in(books: Books) -> None:
    assert seen(books, "log-a") == {"1": {"train": 2}, "2": {"train": 2}}
    assert seen(books, "log-c") == {version: {"val": 2} for version in "123"}
    assert seen(books, "log-d") == {version: {"test": 2} for version in "123"}
    assert seen(books, "log-e") == {"3": {"train": 2}}
    assert [model.version for model in affected(books, "log", "log-b") if model.champion] == ["3"]


def test_a_clip_counts_once_however_many_ways_lead_from_it_to_a_model(books: Books) -> None:
    assert {m.version: m.splits for m in affected(books, "clip", "log-a-clip1")} == {
        "1": {"train": 1},
        "2": {"train": 1},
    }
    assert affected(books, "clip", "log-z-clip1") == ()


def test_a_model_compared_with_a_champion_that_saw_a_log_has_not_seen_it(past: History, books: Books) -> None:
    newest = past.runs[2].model["sha256"]
    assert newest not in models_that_saw(books, "log", "log-a")


def test_who_has_seen_a_log_is_answered_as_of_a_time(past: History) -> None:
    with open_books(past.state, past.root, past.after[0]) as books:
        assert seen(books, "log-b") == {"1": {"train": 2}}
        assert seen(books, "log-e") == {}


def test_an_id_that_nothing_is_called_is_refused_with_those_spelt_alike(books: Books) -> None:
    with pytest.raises(RecordError, match="no log log-aa is known") as raised:
        require_known(books, "log", "log-aa")
    assert "log-a" in raised.value.expected.split(" or ") and "--unknown" in raised.value.fix
    with pytest.raises(RecordError, match="no log log- is known"):
        require_known(books, "log", "log-")
    with pytest.raises(RecordError, match="no clip log-a-cli is known"):  # the start of two
        require_known(books, "clip", "log-a-cli")
    require_known(books, "log", "log-a")
    require_known(books, "clip", "log-a-clip0")


def test_a_clip_given_as_a_log_is_told_so(books: Books) -> None:
    with pytest.raises(RecordError) as raised:
        require_known(books, "log", "log-a-clip0")
    assert raised.value.fix == "log-a-clip0 is a clip: add --clip"
    with pytest.raises(RecordError) as raised:
        require_known(books, "clip", "log-a")
    assert raised.value.fix == "log-a is a log: leave out --clip"


def test_the_start_of_an_id_is_not_the_id(made: History) -> None:
    with open_books(made.state, made.root) as books:
        with pytest.raises(RecordError, match="no clip log-a-clip is known"):
            require_known(books, "clip", "log-a-clip")
        assert recall(books, "clip", "log-a-clip", "typed wrongly, and forced", "auditor").affected == ()


def test_a_recall_of_what_the_champion_saw_flags_it_and_proposes_a_retraining(made: History) -> None:
    with open_books(made.state, made.root) as books:
        outcome = recall(books, "log", "log-b", "consent withdrawn", "auditor")
        assert outcome.changed and [model.version for model in outcome.flagged] == ["3"]
        entries = [books.ledger.entry(number) for number in outcome.entries]
    assert [(e.kind, e.actor) for e in entries] == [
        ("data.recalled", "auditor"),
        ("champion.flagged", "auditor"),
        ("retraining.proposed", "auditor"),
    ]
    assert entries[0].body == {"what": "log", "id": "log-b", "reason": "consent withdrawn"}
    ((_, flag),) = bodies(entries, ChampionFlagged)
    assert (flag.version, flag.recalled, flag.splits) == ("3", "log log-b", {"train": 2})
    ((_, proposed),) = bodies(entries, RetrainingProposed)
    assert proposed.command == "worldmodel run --profile tiny --data dgp:drives"
    assert proposed.because == "toy version 3 has seen log log-b, which is recalled"


def test_a_recall_of_what_no_champion_saw_flags_nobody(made: History) -> None:
    with open_books(made.state, made.root) as books:
        outcome = recall(books, "log", "log-a", "blurred", "auditor")
        assert ([m.version for m in outcome.affected], outcome.flagged, len(outcome.entries)) == (["1", "2"], (), 1)


def test_a_second_recall_changes_nothing_and_a_reinstated_log_can_be_recalled_again(made: History) -> None:
    with open_books(made.state, made.root) as books:
        recall(books, "log", "log-b", "first", "one")
        head = books.ledger.head()
        again = recall(books, "log", "log-b", "second", "two")
        assert not again.changed and again.standing is not None and again.standing.reason == "first"
        assert books.ledger.head() == head and again.entries == ()
        assert reinstate(books, "log", "log-b", "cleared", "one").changed
        assert not reinstate(books, "log", "log-b", "cleared twice", "one").changed
        assert not reinstate(books, "clip", "log-b", "another kind", "one").changed
        assert recall(books, "log", "log-b", "third", "two").changed
        assert [one.reason for one in recalls(books)] == ["third"]


def test_the_text_of_a_runs_recalls_holds_sorted_ids_alone(made: History) -> None:
    assert recalls_text(made.ledger) == recalls_json(Recalls())
    with open_books(made.state, made.root) as books:
        for what, id in (("log", "log-e"), ("clip", "log-a-clip0"), ("log", "log-b"), ("log", "log-c")):
            recall(books, "clip" if what == "clip" else "log", id, "a reason", "auditor")
        reinstate(books, "log", "log-c", "cleared", "auditor")
    text = recalls_text(made.ledger)
    assert json.loads(text) == {"version": 1, "logs": ["log-b", "log-e"], "clips": ["log-a-clip0"]}
    assert text == recalls_json(Recalls(frozenset({"log-e", "log-b"}), frozenset({"log-a-clip0"})))
    assert RECALLS_FILE == "data/recalls.json"


def test_a_champion_that_came_after_and_has_not_seen_it_carries_no_flag(made: History) -> None:
    with open_books(made.state, made.root) as books:
        recall(books, "log", "log-e", "blurred", "auditor")
    better = {name: [v + (2 if name == "image/psnr" else -0.5) for v in of] for name, of in BETTER.items()}
    add_run(made, "two", ("log-b", "log-c", "log-d"), better, turn=4)
    entries = list(made.ledger.entries())
    standing, flagged = champions(entries)["toy"], flags(entries)
    assert standing.version == "4" and standing.model_sha256 not in flagged
    assert [flag.version for of in flagged.values() for flag in of] == ["3"]
    with open_books(made.state, made.root) as books:
        assert recall(books, "log", "log-a", "older", "auditor").flagged == ()


def test_what_was_recalled_at_a_time_is_answered_as_of_then(made: History) -> None:
    with open_books(made.state, made.root) as books:
        recall(books, "log", "log-e", "blurred", "auditor")
    with open_books(made.state, made.root, made.after[-1]) as books:
        assert recalls(books) == []
    assert set(recalled(made.ledger.entries())) == {("log", "log-e")}


def test_a_recall_needs_a_reason(made: History) -> None:
    with open_books(made.state, made.root) as books:
        for act in (recall, reinstate):
            with pytest.raises(RecordError, match="a reason is needed"):
                act(books, "log", "log-b", "  ", "auditor")
        assert recalls(books) == []


def test_the_command_that_trains_anew_names_places_only_where_they_are_asked_for(past: History, books: Books) -> None:
    run_id = past.runs[0].run_id
    assert retraining(books, run_id) == "worldmodel run --profile tiny --data dgp:drives"
    known = {"5" * 64: Path("/some where/drives")}
    assert retraining(books, run_id, known) == "worldmodel run --profile tiny --data 'dgp:/some where/drives'"
    assert retraining(books, "20200101-000000-gone") is None


def test_a_promotion_that_was_only_intended_makes_no_champion_to_flag(made: History) -> None:
    run = made.runs[1]
    intent = PromotionIntended(
        promotion="p9",
        name="toy",
        version="2",
        model_sha256=run.model["sha256"],
        from_version="3",
        from_sha256=None,
        cause="gate",
        reason="a crash came between",
    )
    made.ledger.append(intent, "trainer")
    with open_books(made.state, made.root) as books:
        assert recall(books, "log", "log-a", "blurred", "auditor").flagged == ()
