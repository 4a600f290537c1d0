from pathlib import Path

import numpy as np
import pytest

from flows import speed
from tests.flows.test_evidence import row
from worldmodel.data.manifest import write_manifest
from worldmodel.data.shards import ClipStore


def store_of(path: Path, *splits: str) -> ClipStore:
    rows = [row(f"clip-{i}", f"log-{i}", split) for i, split in enumerate(splits)]  # type: ignore[arg-type]
    write_manifest(path / "clips.parquet", rows)
    return ClipStore(path)


def test_a_model_without_a_held_out_clip_that_it_can_take_has_no_speed(tmp_path: Path) -> None:
    """The gate then says that it was not measured; the run does not break off."""
    store = store_of(tmp_path, "train", "test")  # none of them has poses
    assert speed._reconstruction(tmp_path, store, {"reconstruct": {"context_stride": 5}}) == (None, None)


def test_held_out_clips_are_those_of_both_splits_that_training_leaves_alone(tmp_path: Path) -> None:
    assert speed._held_out(store_of(tmp_path, "train", "val", "test")) == ["clip-2", "clip-1"]


def test_the_time_is_the_median_of_three_after_one_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = np.cumsum([0, 1, 0, 5, 0, 2]).tolist(), []
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now.pop(0))
    assert speed._median(lambda: calls.append(1)) == 2.0
    assert len(calls) == 4 and not now
