import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from evaluation.extractors.preprocess import Images, for_i3d
from worldmodel.errors import DataError


def squash224(video: Images) -> torch.Tensor:
    return for_i3d(video, "squash224")


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


@pytest.mark.parametrize(
    ("size", "resized"), [((64, 96), (224, 336)), ((300, 250), (269, 224)), ((90, 90), (224, 224))]
)
def test_the_short_side_becomes_224_and_the_middle_of_the_long_one_is_kept(
    size: tuple[int, int], resized: tuple[int, int]
) -> None:
    video = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    frames = torch.from_numpy(video).permute(0, 3, 1, 2).float()
    whole = functional.interpolate(frames, resized, mode="bilinear", align_corners=False) / 127.5 - 1
    top, left = ((n - 224) // 2 for n in resized)
    expected = whole[:, :, top : top + 224, left : left + 224].permute(1, 0, 2, 3)
    assert torch.allclose(for_i3d(video, "short224-centercrop")[0], expected, atol=1e-4)


def test_nuscenes_images_are_quartered_and_their_bottom_middle_is_kept() -> None:
    video = np.random.default_rng(0).integers(0, 256, (1, 900, 1600, 3), dtype=np.uint8)
    quarter = np.asarray(Image.fromarray(video[0]).resize((400, 225), Image.Resampling.BICUBIC))
    expected = torch.from_numpy(quarter[1:, 88:312].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
    found = for_i3d(video, "wcoda-224x400")
    assert found.shape == (1, 3, 1, 224, 224) and torch.allclose(found[0, :, 0], expected, atol=1e-6)


def test_images_that_are_224_by_400_already_are_only_cropped() -> None:
    video = np.random.default_rng(0).integers(0, 256, (1, 224, 400, 3), dtype=np.uint8)
    expected = torch.from_numpy(video[0, :, 88:312].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
    assert torch.allclose(for_i3d(video, "wcoda-224x400")[0, :, 0], expected, atol=1e-6)


def test_a_video_too_wide_for_that_crop_is_refused() -> None:
    with pytest.raises(DataError, match="wcoda-224x400: the video is too wide") as caught:
        for_i3d(np.zeros((1, 100, 200, 3), np.uint8), "wcoda-224x400")
    assert caught.value.got == "200 at 400 columns"
