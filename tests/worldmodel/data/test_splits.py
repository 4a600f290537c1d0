from collections import Counter

import pytest

from worldmodel.data.config import SplitFractions
from worldmodel.data.splits import assign_splits, refuse_unknown_pins
from worldmodel.errors import ParamsError

FRACTIONS = SplitFractions(train=0.7, val=0.1, test=0.2)


def logs(n: int) -> list[str]:
    return [f"log-{i:03d}" for i in range(n)]


def test_shares_are_kept_and_every_log_has_one_split() -> None:
    splits = assign_splits(logs(50), FRACTIONS, seed=0)
    assert Counter(splits.values()) == {"train": 35, "val": 5, "test": 10}


@pytest.mark.parametrize("n", range(3, 12))
def test_three_or_more_logs_fill_every_split(n: int) -> None:
    assert set(assign_splits(logs(n), FRACTIONS, seed=0).values()) == {"train", "val", "test"}


@pytest.mark.parametrize("shares", [(0.1, 0.8, 0.1), (0.1, 0.1, 0.8), (0.02, 0.49, 0.49)])
def test_something_is_left_to_train_whatever_the_shares(shares: tuple[float, float, float]) -> None:
    fractions = SplitFractions(train=shares[0], val=shares[1], test=shares[2])
    for n in range(3, 8):
        assert set(assign_splits(logs(n), fractions, seed=0).values()) == {"train", "val", "test"}


def test_two_logs_train_and_measure() -> None:
    assert sorted(assign_splits(logs(2), FRACTIONS, seed=0).values()) == ["test", "train"]
    without_test = SplitFractions(train=0.5, val=0.5, test=0)
    assert sorted(assign_splits(logs(2), without_test, seed=0).values()) == ["train", "val"]


def test_a_single_log_trains() -> None:
    assert assign_splits(["only"], FRACTIONS, seed=0) == {"only": "train"}


def test_a_split_without_a_share_stays_empty() -> None:
    assert set(assign_splits(logs(9), SplitFractions(train=0.8, val=0, test=0.2), seed=0).values()) == {"train", "test"}


def test_order_does_not_matter_and_the_seed_does() -> None:
    assert assign_splits(logs(30), FRACTIONS, 0) == assign_splits(logs(30)[::-1], FRACTIONS, 0)
    assert assign_splits(logs(30), FRACTIONS, 0) != assign_splits(logs(30), FRACTIONS, 1)


def test_adding_a_log_moves_at_most_one_log_per_cut() -> None:
    for n in range(10, 60):
        before, after = assign_splits(logs(n), FRACTIONS, 0), assign_splits(logs(n + 1), FRACTIONS, 0)
        assert sum(before[log] != after[log] for log in before) <= 2


def test_pinned_logs_are_not_ranked_among_the_others() -> None:
    pinned = {"log-000": "val", "log-003": "val", "other": "test"}
    splits = assign_splits(logs(9), FRACTIONS, 0, pinned)  # type: ignore[arg-type]
    free = [log for log in logs(9) if log not in pinned]
    assert splits == assign_splits(free, FRACTIONS, 0) | {"log-000": "val", "log-003": "val"}


def test_all_logs_pinned_need_no_ranking() -> None:
    assert assign_splits(["a", "b"], FRACTIONS, 0, {"a": "train", "b": "test"}) == {"a": "train", "b": "test"}


def test_only_pins_of_this_runs_sources_must_exist() -> None:
    known = {"street": ["street-a"], "street-b": ["street-b-1"]}
    refuse_unknown_pins(["street-a", "street-b-1", "elsewhere-x"], known)
    with pytest.raises(ParamsError, match="source street has no log street-z"):
        refuse_unknown_pins(["street-z"], known)
