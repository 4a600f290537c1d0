import pytest
import torch
from torch.nn import functional

from evaluation.extractors.i3d import I3D, MIN_FRAMES, kernel_and_bias, same_max_pool, same_padding
from evaluation.extractors.probe import probe_clip


@pytest.mark.parametrize(
    ("frames", "ours", "published"), [(15, 133.9079, 133.70), (16, 152.9020, 152.9175)], ids=["15", "16"]
)
def test_black_and_white_clips_are_as_far_apart_as_published(
    network: I3D, frames: int, ours: float, published: float
) -> None:
    """StyleGAN-V's TorchScript of the same network gives `published` on a GPU."""
    clips = torch.ones(2, 3, frames, 224, 224) * torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1, 1)
    with torch.inference_mode():
        black, white = network(clips).double()
    distance = float(((black - white) ** 2).sum())
    assert distance == pytest.approx(ours, rel=1e-4)
    assert distance == pytest.approx(published, rel=5e-3)


def test_a_clips_logits_are_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(network: I3D) -> None:
    clips = probe_clip()[:, :, : MIN_FRAMES + 1]
    before = torch.get_num_threads()
    with torch.inference_mode():
        torch.set_num_threads(1)
        alone = network(clips)
        torch.set_num_threads(2)
        together = network(torch.cat([-clips, clips]))
        torch.set_num_threads(before)
    assert torch.equal(alone[0], together[1])


@pytest.mark.parametrize(
    ("size", "window", "stride", "before", "after"),
    [(224, 7, 2, 2, 3), (16, 7, 2, 2, 3), (15, 7, 2, 3, 3), (28, 3, 1, 1, 1), (56, 3, 2, 0, 1), (9, 3, 2, 1, 1)],
)
def test_padding_is_tensorflows_same(size: int, window: int, stride: int, before: int, after: int) -> None:
    assert same_padding([size] * 3, [window] * 3, [stride] * 3) == ((before,) * 3, (after,) * 3)


@pytest.mark.parametrize("frames", [4, 5])
def test_max_pooling_never_takes_the_padding(frames: int) -> None:
    """With every value negative, padding by zeros would win."""
    x = -1 - torch.rand(1, 2, frames, 6, 7)
    for window, stride in (((3, 3, 3), (2, 2, 2)), ((1, 3, 3), (1, 2, 2)), ((2, 2, 2), (2, 2, 2))):
        before, after = same_padding(x.shape[2:], window, stride)
        pads = [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair]
        expected = functional.max_pool3d(functional.pad(x, pads, value=-torch.inf), window, stride)
        assert torch.equal(same_max_pool(x, window, stride), expected)


def test_a_unit_without_normalisation_keeps_its_kernel_and_bias() -> None:
    kernel = torch.arange(6.0).reshape(1, 1, 1, 2, 3)
    found, bias = kernel_and_bias({"params.a.Conv_0.kernel": kernel, "params.a.Conv_0.bias": torch.ones(3)}, "a")
    assert found.shape == (3, 2, 1, 1, 1) and found.flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert bias.tolist() == [1, 1, 1]


def test_a_normalised_unit_is_folded() -> None:
    """Kernel 2, mean 3, variance 4, beta 5: (2 x - 3) / 2 + 5 = x + 3.5."""
    tensors = {
        "params.a.Conv_0.kernel": torch.full((1, 1, 1, 1, 1), 2.0),
        "params.a.BatchNorm_0.bias": torch.tensor([5.0]),
        "batch_stats.a.BatchNorm_0.mean": torch.full((1, 1, 1, 1, 1), 3.0),
        "batch_stats.a.BatchNorm_0.var": torch.full((1, 1, 1, 1, 1), 4.0 - 1e-3),
    }
    kernel, bias = kernel_and_bias(tensors, "a")
    assert (kernel.item(), bias.item()) == (1.0, 3.5)
