import numpy as np
import pytest
import torch
from torch.nn import functional

from evaluation.extractors.preprocess import squash224


def test_black_and_white_become_the_ends_of_the_range() -> None:
    video = np.zeros((2, 4, 6, 3), np.uint8)
    video[1] = 255
    found = squash224(video)
    assert found.shape == (1, 3, 2, 224, 224) and found.dtype == torch.float32
    assert bool((found[:, :, 0] == -1).all())
    assert torch.allclose(found[:, :, 1], torch.tensor(1.0), atol=1e-6)


def test_frames_are_squashed_and_interpolated_between_pixel_centres() -> None:
    """Two columns 0 and 255 become 224: x lies at (x + 0.5) / 112 - 0.5 of them, clamped to 0 and 1."""
    video = np.zeros((1, 1, 2, 3), np.uint8)
    video[..., 1, 1] = 255
    found = squash224(video)[0, :, 0]
    at = np.clip((np.arange(224) + 0.5) / 112 - 0.5, 0, 1)
    assert np.allclose(found[1], np.broadcast_to(2 * at - 1, (224, 224)), atol=1e-6)
    assert bool((found[0] == -1).all())


def test_shrinking_is_without_antialiasing() -> None:
    """At half the size every pixel is the mean of the middle two by two, and sees nothing beyond them."""
    video = np.zeros((1, 448, 448, 3), np.uint8)
    video[0, 10, 10] = 200
    found = (squash224(video)[0, 0, 0] + 1) * 127.5
    assert float(found[5, 5]) == pytest.approx(50.0, abs=1e-4) and int((found > 0).sum()) == 1


@pytest.mark.parametrize("size", [(64, 96), (300, 250)])
def test_it_is_torchs_bilinear_resize_and_the_same_bits_on_any_number_of_threads(size: tuple[int, int]) -> None:
    video = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    frames = torch.from_numpy(video).permute(0, 3, 1, 2).float()
    expected = functional.interpolate(frames, (224, 224), mode="bilinear", align_corners=False) / 127.5 - 1
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(squash224(video))
    torch.set_num_threads(before)
    assert torch.allclose(found[0][0], expected.permute(1, 0, 2, 3), atol=1e-4)
    assert all(torch.equal(found[0], other) for other in found)
