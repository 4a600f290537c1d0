import pandas as pd

from flows.checks.config import ValidateConfig
from flows.checks.tables import manifest_table, sample_clips, split_table


def manifest(n: int = 40) -> pd.DataFrame:
    splits = ["train"] * (n - 4) + ["val", "val", "test", "test"]
    sources = ["synthetic" if i % 5 else "recorded" for i in range(n)]
    return pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(n)], "source": sources, "split": splits})


def test_every_source_and_split_is_in_the_sample() -> None:
    table = manifest()
    chosen = table[table.clip_id.isin(sample_clips(table, 1, 0))]
    assert len(chosen) == len(table[["source", "split"]].drop_duplicates())
    assert set(zip(chosen.source, chosen.split)) == set(zip(table.source, table.split))  # noqa: B905


def test_the_sample_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    table = manifest()
    first = sample_clips(table, 3, 7)
    assert first == sample_clips(table.iloc[::-1], 3, 7)
    assert first != sample_clips(table, 3, 8)
    assert first == sorted(set(first))


def test_a_stratum_smaller_than_the_sample_is_taken_whole() -> None:
    table = manifest(8)
    assert sample_clips(table, 100, 0) == sorted(table.clip_id)


def test_splits_without_a_clip_have_a_row() -> None:
    config = ValidateConfig.model_validate(
        {"licences": ["x"], "min_clips": {"train": 2, "val": 1}, "clips_per_stratum": 1}
    )
    table = split_table(pd.DataFrame({"split": ["train", "train", "test"]}), config)
    assert table.to_dict("list") == {
        "split": ["train", "val", "test"],
        "n_clips": [2, 0, 1],
        "min_clips": [2, 1, 0],
    }


def test_a_log_is_counted_in_each_split_it_appears_in() -> None:
    table = pd.DataFrame({"log_id": ["a", "a", "b", "b"], "split": ["train", "val", "train", "train"]})
    table["cameras"], table["heldout_frames"] = [["front"], ["front", "left"], [], ["front"]], [[], [], [], []]
    found = manifest_table(table)
    assert found["splits_of_log"].tolist() == [2, 2, 1, 1]
    assert found["n_cameras"].tolist() == [1, 2, 0, 1]
    assert "heldout_frames" not in found
