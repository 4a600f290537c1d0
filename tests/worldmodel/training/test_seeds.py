"""Random numbers by key."""

import torch

from worldmodel.training.seeds import numpy_generator, seed_of, torch_generator


def test_a_key_has_one_stream_and_another_key_another() -> None:
    keys = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a"), (0, "a", "1"), (0, "a1")]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert seed_of(0, "a", 1) == 4987914527561685441
    assert torch.equal(
        torch.rand(4, generator=torch_generator(0, "x")), torch.rand(4, generator=torch_generator(0, "x"))
    )
    assert (numpy_generator(0, "x").random(4) != numpy_generator(1, "x").random(4)).all()
