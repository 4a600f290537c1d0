"""Which models saw some data or weights."""

import hashlib

import pytest

from flows.audit.books import Books, open_books
from flows.audit.impact import Impact, impact
from flows.ledger.bodies import DataRecalled, DataReinstated
from flows.lineage.graph import Graph
from tests.flows.audit.going_on import add_pupil, add_renumbered
from tests.flows.history import History
from worldmodel.errors import RecordError


def seen(found: Impact) -> dict[str, dict[str, int]]:
    """Splits with clips, by version."""
    return {version: model.splits for model in found.models for version in model.versions}


def asked(made: History, what: str, at: str | None = None) -> Impact:
    with open_books(made.state, at=at) as books:
        return impact(books, what)


def test_a_log_names_the_models_that_saw_it_and_no_model_that_was_only_compared_with_them(books: Books) -> None:
    assert seen(impact(books, "log-a")) == {"toy/1": {"train": 2}, "toy/2": {"train": 2}}
    assert seen(impact(books, "log-e")) == {"toy/3": {"train": 2}}


def test_a_clip_says_in_which_split_it_was(books: Books) -> None:
    for clip, split in (("log-d-clip1", "test"), ("log-c-clip0", "val")):
        found = impact(books, clip)
        assert {model.versions for model in found.models} == {("toy/1",), ("toy/2",), ("toy/3",)}
        assert all(model.splits == {split: 1} for model in found.models)


def test_the_way_is_the_shortest_and_goes_through_measurement_where_training_read_none_of_it(
    past: History, books: Books
) -> None:
    trained, measured = impact(books, "log-e"), impact(books, "log-d-clip0")
    prepared = trained.prepared[0].output[:16]
    way = ("log log-e", f"train of prepare {prepared}", "train_worldrec", "weights", "part worldrec")
    assert trained.models[0].way == way
    assert measured.models[0].way[-3:] == ("evaluate", "report", "decision")


def test_the_champion_comes_first_and_each_says_when_it_served(books: Books) -> None:
    third, first, second = impact(books, "drives").models
    assert (third.versions, third.champion) == (("toy/3",), True)
    assert [(span.version, span.until) for span in third.served] == [("3", None)]
    assert (first.versions, first.champion) == (("toy/1",), False)
    assert [span.until for span in first.served] == [third.served[0].since]
    assert (second.versions, second.champion, second.served) == (("toy/2",), False, ())


def test_a_source_is_known_by_its_name_and_counts_all_of_its_clips(books: Books) -> None:
    found = impact(books, "drives")
    assert (found.kind, found.key) == ("source", f"drives@{'5' * 64}")
    assert seen(found)["toy/3"] == {"train": 4, "val": 2, "test": 2}
    assert sorted(sum(one.splits.values()) for one in found.prepared) == [8, 8]


def test_a_shard_is_known_by_the_digest_of_its_bytes(books: Books) -> None:
    only_in_run_3 = hashlib.sha256(b"log-b-clip0 log-b-clip1 log-e-clip0 log-e-clip1").hexdigest()
    found = impact(books, only_in_run_3[:10])
    assert found.kind == "shard" and seen(found) == {"toy/3": {"train": 4}}


def test_a_shard_that_is_called_otherwise_in_another_output_is_the_same_shard(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_renumbered(made, monkeypatch)
    validation = hashlib.sha256(b"log-c-clip0 log-c-clip1").hexdigest()
    assert seen(asked(made, validation)) == {f"toy/{version}": {"val": 2} for version in range(1, 5)}


def test_weights_of_a_teacher_name_the_pupils(past: History, books: Books) -> None:
    teacher = hashlib.sha256(b"worldgen_bidirectional one log-b+log-c+log-d+log-e").hexdigest()
    (found,) = impact(books, teacher).models
    assert found.versions == ("toy/3",) and found.splits == {}
    assert found.way == (f"weights {teacher[:16]}", "worldgen_dmd", "weights", "part worldgen")


def test_an_output_names_what_was_made_from_it(past: History, books: Books) -> None:
    prepared = impact(books, "log-a").prepared[0].output
    all_clips = {"train": 4, "val": 2, "test": 2}
    assert seen(impact(books, prepared[:12])) == {"toy/1": all_clips, "toy/2": all_clips}


def test_a_log_is_followed_through_weights_that_another_run_took(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pupil(made, monkeypatch)
    found = asked(made, "log-a")
    assert seen(found)["toy/4"] == {"train": 2}
    way = next(model.way for model in found.models if model.versions == ("toy/4",))
    assert way[2:] == ("train_tokenizer", "weights", "network", "train_tokenizer", "weights", "part tokenizer")
    both = asked(made, "log-b")
    assert seen(both)["toy/4"] == {"train": 2, "test": 2}, "it trained the teacher and measures the pupil"
    way = next(model.way for model in both.models if model.versions == ("toy/4",))
    assert way[1].startswith("train of prepare"), "that training read it matters more"
    assert seen(asked(made, "log-c"))["toy/4"] == {"val": 2}, "a clip of both is one clip"


def test_as_of_a_time_later_runs_have_seen_nothing(past: History) -> None:
    then = asked(past, "log-b", past.after[0])
    assert seen(then) == {"toy/1": {"train": 2}} and then.models[0].champion
    assert asked(past, "log-b", "2001-01-01").models == ()


def test_what_was_recalled_is_marked_until_it_is_reinstated(made: History) -> None:
    made.ledger.append(DataRecalled(what="log", id="log-b", reason="consent withdrawn"), "ada")
    marks = {what: [recall.id for recall in asked(made, what).recalls] for what in ("log-b", "log-b-clip0", "drives")}
    assert marks == {"log-b": ["log-b"], "log-b-clip0": ["log-b"], "drives": ["log-b"]}
    assert asked(made, "log-c").recalls == ()
    made.ledger.append(DataReinstated(what="log", id="log-b", reason="a mistake"), "ada")
    assert asked(made, "log-b").recalls == ()


def test_what_nothing_is_called_and_what_several_things_are_called_is_refused(books: Books) -> None:
    with pytest.raises(RecordError, match="nothing in the lineage index is called feed"):
        impact(books, "feed")
    with pytest.raises(RecordError, match=r"log-b-clip names several things(.|\n)*clip:log-b-clip0, clip:log-b-clip1"):
        impact(books, "log-b-clip")


def test_a_source_of_several_versions_is_refused_with_all_of_them(made: History) -> None:
    other = Graph("another", 0, "")
    for kind, key in (("run", "another"), ("source", f"drives@{'6' * 64}"), ("source", "drives-too@generated")):
        other.node(kind, key)
    with open_books(made.state) as books:
        with books.index.writer() as writer:
            writer.add(other)
        with pytest.raises(RecordError, match=rf"several things(.|\n)*drives@{'5' * 64}, source:drives@{'6' * 64}\n"):
            impact(books, "drives")
        assert seen(impact(books, "drives@55")) == seen(impact(books, f"drives@{'5' * 64}"))
