from collections.abc import Callable
from pathlib import Path

import numpy as np

from worldmodel.data.dataset import readable_frames, train_clips
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore

MakeClip = Callable[..., Clip]
WriteStore = Callable[..., Path]


def test_training_sees_no_held_out_frame(make_clip: MakeClip, write_store: WriteStore) -> None:
    clip = make_clip()
    store = ClipStore(write_store([clip], heldout_frames=(1, 2)))
    assert readable_frames(store.row("log-0-000")) == (0, 3)
    (seen,) = train_clips(store)
    assert seen.frames == (0, 3)
    assert np.array_equal(seen.clip.rgb, clip.rgb[[0, 3]]) and len(seen.clip.points or ()) == 2


def test_without_held_out_frames_all_are_seen(make_clip: MakeClip, write_store: WriteStore) -> None:
    store = ClipStore(write_store([make_clip(), make_clip("log-0-001")]))
    assert [seen.frames for seen in train_clips(store)] == [(0, 1, 2, 3)] * 2


def test_other_splits_are_left_alone(make_clip: MakeClip, write_store: WriteStore) -> None:
    assert list(train_clips(ClipStore(write_store([make_clip()], split="val")))) == []
