import numpy as np
import pytest
import torch
from torch.nn import functional

from evaluation.extractors.convolution import Convolution, check_images, convolve, exact_fp32, folded
from worldmodel.errors import DataError


def test_batch_normalisation_is_folded_in() -> None:
    """Kernel 2, mean 3, variance 4, beta 5: (2 x - 3) / 2 + 5 = x + 3.5."""
    kernel, mean, variance, beta = torch.full((1, 1, 1, 1), 2.0), torch.tensor([3.0]), torch.tensor([3.999]), 5.0
    found = folded(kernel, mean, variance, torch.tensor([beta]))
    assert [part.item() for part in found] == [1.0, 3.5]


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_onednn_convolves_as_torch_does(axes: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    kernel, bias = torch.randn(4, 2, *[3] * axes, generator=generator), torch.randn(4, generator=generator)
    x = torch.randn(2, 2, 6, 5, 7, generator=generator)[..., : 5 if axes == 2 else 7]
    x = x[:, :, 0] if axes == 2 else x
    plain = functional.conv2d if axes == 2 else functional.conv3d
    found = convolve(x, kernel, bias, (stride,) * axes, (1,) * axes)
    assert torch.allclose(found, plain(x, kernel, bias, stride, 1), atol=1e-5)


def test_a_convolution_ends_in_a_relu() -> None:
    unit = Convolution(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1), torch.zeros(2))
    assert unit(torch.full((1, 1, 1, 1), 3.0)).flatten().tolist() == [3.0, 0.0]


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)]
)
def test_what_are_no_images_is_refused_with_what_it_is(wrong: object) -> None:
    with pytest.raises(DataError, match="clip7: not images") as caught:
        check_images(wrong, "clip7")
    assert caught.value.expected == "uint8 [N, H, W, 3]"


def test_images_may_be_as_small_as_the_least_and_no_smaller() -> None:
    check_images(np.zeros((1, 5, 7, 3), np.uint8), "a", (5, 7))
    with pytest.raises(DataError, match="too small") as caught:
        check_images(np.zeros((1, 5, 6, 3), np.uint8), "a", (5, 7))
    assert (caught.value.expected, caught.value.got) == ("at least 5 x 7 px", "5 x 6 px")


def test_the_callers_settings_are_put_aside_and_given_back() -> None:
    before = torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        with exact_fp32("cpu"):
            assert not torch.is_autocast_enabled("cpu") and not torch.backends.cudnn.allow_tf32
            assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu") and not torch.is_inference_mode_enabled()
    assert torch.backends.cudnn.allow_tf32 == before
