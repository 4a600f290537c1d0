"""The closed-form codec on videos whose principal components are known."""

import math

import pytest
import torch
from torch import Tensor

from worldmodel.errors import DataError
from worldmodel.worldgen.codec.linear import LinearCodec, LinearFit
from worldmodel.worldgen.codec.overlap import filter_edges, overlap_filter
from worldmodel.worldgen.tokenizer_config import LinearConfig


def noise(seed: int, clips: int = 3, frames: int = 9, height: int = 8, width: int = 12) -> Tensor:
    return torch.rand(clips, frames, height, width, 3, generator=torch.Generator().manual_seed(seed))


def fit_of(videos: Tensor, channels: int, stride: int = 4, whitening: float = 0.5) -> LinearFit:
    fit = LinearFit(LinearConfig(channels=channels, spatial_stride=stride, whitening=whitening))
    for video in videos:
        fit.add(video[None])
    return fit


def fitted(videos: Tensor, channels: int, stride: int = 4, whitening: float = 0.5) -> LinearCodec:
    return fit_of(videos, channels, stride, whitening).finish()


def faint_detail(clips: int = 8) -> Tensor:
    """Videos whose coarse parts vary most, as pictures do."""
    coarse = noise(7, clips, height=2, width=3).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return 0.8 * coarse + 0.2 * noise(8, clips)


def channel_variances(z: Tensor) -> list[Tensor]:
    """[C] of the first latent frame and of the others."""
    return [kind.permute(2, 0, 1, 3, 4).flatten(1).var(1, correction=0) for kind in (z[:, :1], z[:, 1:])]


def test_the_edge_filter_is_orthonormal_and_keeps_even_grey() -> None:
    matrix = overlap_filter(8)
    assert torch.allclose(matrix @ matrix.T, torch.eye(8), atol=1e-6)
    video = noise(0, height=16, width=24)
    assert torch.allclose(filter_edges(filter_edges(video, matrix), matrix.T), video, atol=1e-5)
    assert torch.allclose(video[..., :4, :4, :], filter_edges(video, matrix)[..., :4, :4, :])
    assert not torch.allclose(video[..., 4:12, :, :], filter_edges(video, matrix)[..., 4:12, :, :], atol=1e-2)


def test_a_frame_of_one_patch_has_no_edge_to_filter() -> None:
    video = noise(0, height=8, width=8)
    assert torch.equal(filter_edges(video, overlap_filter(8)), video)


def test_with_every_component_a_frame_comes_back() -> None:
    videos = noise(1, frames=5, clips=60)
    codec, video = fitted(videos, channels=48), videos[:, :1]
    assert codec.encode(video).shape == (60, 1, 48, 2, 3)
    assert torch.allclose(codec.decode(codec.encode(video)), video, atol=1e-4)


def test_axes_are_orthonormal_ordered_and_their_largest_entry_is_positive() -> None:
    codec = fitted(noise(2), channels=10)
    for basis, size in ((codec.first, 48), (codec.group, 192)):
        assert basis.axes.shape == (size, 10)
        assert torch.allclose(basis.axes.T @ basis.axes, torch.eye(10), atol=1e-5)
        assert bool((basis.scale.diff() <= 0).all())
        assert bool((basis.axes.gather(0, basis.axes.abs().argmax(0, keepdim=True)) > 0).all())


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_latents_of_the_training_videos_have_mean_0_and_variance_1_on_average_for_each_kind(whitening: float) -> None:
    videos = faint_detail()
    z = fitted(videos, 6, whitening=whitening).encode(videos)
    for kind in (z[:, :1], z[:, 1:]):
        assert kind.mean((0, 1, 3, 4)).abs().max() < 1e-3
    for variances in channel_variances(z):
        assert variances.mean().item() == pytest.approx(1, abs=1e-3)


def test_full_whitening_gives_every_channel_the_same_variance() -> None:
    videos = faint_detail()
    for variances in channel_variances(fitted(videos, 6, whitening=1).encode(videos)):
        assert (variances - 1).abs().max() < 2e-3


def test_without_whitening_detail_stays_as_faint_as_it_is_in_the_pictures() -> None:
    videos = faint_detail()
    white = fitted(videos, 6, whitening=1)
    natural = (white.first.scale, white.group.scale)
    plain = fitted(videos, 6, whitening=0)
    for variances, deviations, basis in zip(
        channel_variances(plain.encode(videos)), natural, (plain.first, plain.group), strict=True
    ):
        shares = variances.sqrt() / variances[0].sqrt()
        assert shares[-1] < 0.8
        assert torch.allclose(shares, deviations / deviations[0], atol=1e-3)
        assert torch.allclose(basis.scale, basis.scale[:1].expand(6))


def test_what_is_decoded_does_not_depend_on_whitening() -> None:
    videos = faint_detail()
    decoded = [(codec := fitted(videos, 6, whitening=w)).decode(codec.encode(videos)) for w in (0.0, 0.5, 1.0)]
    assert torch.allclose(decoded[0], decoded[1], atol=1e-5) and torch.allclose(decoded[0], decoded[2], atol=1e-5)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_the_fit_knows_the_deviations_of_its_latents(whitening: float) -> None:
    videos = faint_detail()
    fit = fit_of(videos, 6, whitening=whitening)
    codec = fit.finish()
    for told, variances in zip(fit.deviations(codec), channel_variances(codec.encode(videos)), strict=True):
        assert told.tolist() == pytest.approx(variances.sqrt().tolist(), rel=2e-3)


def test_grey_steps_become_one_channel_by_hand() -> None:
    """Frames of one grey level each: the first component is the mean of a patch, and the only one that varies."""
    levels = torch.tensor([0.0, 0.25, 0.75, 1.0])
    videos = levels[:, None, None, None, None].expand(4, 5, 2, 2, 3)
    codec = fitted(videos, channels=1, stride=2)
    assert torch.allclose(codec.first.axes[:, 0], torch.full((12,), 1 / math.sqrt(12)), atol=1e-5)
    # a pixel is -1, -0.5, 0.5 or 1: variance 0.625, twelve times in one frame's patch and 48 times in four frames'
    assert codec.first.scale[0].item() == pytest.approx(math.sqrt(12 * 0.625), rel=1e-5)
    assert codec.group.scale[0].item() == pytest.approx(math.sqrt(48 * 0.625), rel=1e-5)
    z = codec.encode(videos)
    assert z[3, :, 0, 0, 0].tolist() == pytest.approx([1 / math.sqrt(0.625)] * 2, rel=1e-4)
    assert torch.allclose(codec.decode(z), videos, atol=1e-5)


def test_no_latent_frame_sees_later_frames() -> None:
    videos = noise(4)
    codec = fitted(videos, channels=12)
    changed = videos.clone()
    changed[:, 5:] = 0.5
    assert torch.equal(codec.encode(changed)[:, :2], codec.encode(videos)[:, :2])
    assert not torch.equal(codec.encode(changed)[:, 2], codec.encode(videos)[:, 2])


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 1), (1, 2)])
def test_a_stream_decodes_to_the_whole(sizes: tuple[int, ...]) -> None:
    videos = noise(5)
    codec = fitted(videos, channels=12)
    z = codec.encode(videos)
    state, parts = None, []
    for chunk in z.split(sizes, 1):
        frames, state = codec.decode_chunk(chunk, state)
        parts.append(frames)
    assert [part.shape[1] for part in parts] == [sizes[0] * 4 - 3, *(4 * size for size in sizes[1:])]
    assert torch.equal(torch.cat(parts, 1), codec.decode(z))


def test_more_channels_never_lose_and_decoded_values_are_pixels() -> None:
    videos = noise(6)
    errors = []
    for channels in (4, 16, 48):
        codec = fitted(videos, channels)
        decoded = codec.decode(codec.encode(videos))
        assert decoded.min() >= 0 and decoded.max() <= 1
        errors.append(float(((decoded - videos) ** 2).mean()))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("shape", [(1, 4, 8, 12, 3), (1, 5, 9, 12, 3), (1, 5, 8, 10, 3), (5, 8, 12, 3)])
def test_frames_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="do not fit the tokenizer"):
        fitted(noise(0), channels=3).encode(torch.zeros(shape))


def test_nothing_to_fit_on_is_said() -> None:
    with pytest.raises(DataError, match="nothing to be fitted on"):
        LinearFit(LinearConfig(channels=3, spatial_stride=2)).finish()
