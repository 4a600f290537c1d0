"""Clips in memory for training, with the frames that no training may read left on disk."""

from collections.abc import Iterator
from dataclasses import dataclass

from worldmodel.data.manifest import ClipRow, Split
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore


@dataclass(frozen=True)
class TrainClip:
    """A clip as training may see it.

    Attributes:
        clip: holds the readable frames alone.
        frames: for each of them, its index in the stored clip.
    """

    clip: Clip
    frames: tuple[int, ...]


def readable_frames(row: ClipRow) -> tuple[int, ...]:
    """The frames of a clip that training may read: all but the held-out ones."""
    held_out = set(row["heldout_frames"])
    return tuple(t for t in range(row["n_frames"]) if t not in held_out)


def train_clips(store: ClipStore, split: Split = "train") -> Iterator[TrainClip]:
    """Decodes the clips of a split one by one, in manifest order. Raises DataError as `ClipStore.load` does."""
    for clip_id in store.clip_ids(split):
        frames = readable_frames(store.row(clip_id))
        yield TrainClip(store.load(clip_id, frames), frames)
