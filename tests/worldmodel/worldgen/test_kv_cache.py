"""The cache: which latent frames a chunk sees, and which are kept."""

import pytest
import torch

from worldmodel.worldgen.kv_cache import KVCache, Span


def filled(chunk: int, window: int, chunks: int) -> KVCache:
    """One layer; the keys of a latent frame are its number."""
    cache = KVCache(1, Span(chunk, window), batch=1)
    for index in range(chunks):
        frames = [0] if index == 0 else list(range(1 + (index - 1) * chunk, 1 + index * chunk))
        keys = torch.tensor(frames).float().reshape(1, -1, 1, 1)
        cache.append(0, keys, -keys)
        cache.advance(len(frames))
    return cache


def seen_by(cache: KVCache, frames: int) -> list[int]:
    return [int(key) for keys, _ in cache.context(0, frames) for key in keys.flatten()]


@pytest.mark.parametrize(
    ("chunk", "window", "chunks", "frames", "expected"),
    [
        (1, 4, 0, 1, []),
        (1, 4, 1, 1, [0]),
        (1, 4, 3, 1, [0, 1, 2]),
        (1, 4, 4, 1, [0, 2, 3]),
        (1, 4, 9, 1, [0, 7, 8]),
        (2, 5, 2, 2, [0, 1, 2]),
        (2, 5, 3, 2, [0, 3, 4]),
        (2, 5, 3, 1, [0, 3, 4]),
        (2, 6, 3, 2, [0, 3, 4]),
        (2, 6, 3, 1, [0, 1, 2, 3, 4]),
        (2, 3, 4, 2, [0]),
    ],
)
def test_a_chunk_sees_the_sink_and_the_newest_chunks_that_fit(
    chunk: int, window: int, chunks: int, frames: int, expected: list[int]
) -> None:
    cache = filled(chunk, window, chunks)
    assert seen_by(cache, frames) == expected
    assert cache.context_frames(frames) == len(expected)


def test_what_no_later_chunk_sees_is_forgotten() -> None:
    cache = filled(2, 5, 40)
    assert [keys.shape[1] for keys, _ in cache._layers[0]] == [1, 2]


@pytest.mark.parametrize(("chunks", "frames"), [(0, 2), (1, 3), (1, 0)])
def test_a_chunk_that_cannot_follow_is_refused(chunks: int, frames: int) -> None:
    with pytest.raises(ValueError, match="expected at most"):
        filled(2, 5, chunks).context_frames(frames)


def test_nothing_follows_a_short_chunk() -> None:
    cache = filled(2, 5, 2)
    cache.append(0, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    cache.advance(1)
    with pytest.raises(ValueError, match="after 4"):
        cache.context_frames(2)
