"""Rendered priors: what they are made of, what they measure, and what they may not look at."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worldmodel.worldrec.toy import make_clip
from worldmodel.joint.priors import COVERED, Prior, render_prior
from worldmodel.worldrec.config import LatticeConfig, WorldRecConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.views import ClipTensors

FRAMES = 6


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def model() -> WorldRec:
    torch.manual_seed(0)
    lattice = LatticeConfig(azimuths=6, pitches=2, shells=2)
    config = WorldRecConfig(channels=(8, 16), width=8, grid=2, rounds=1, depth_bins=8, sky_width=8, lattice=lattice)
    return WorldRec(config).eval().requires_grad_(False)


def tensors(seed: int = 0, slower: float = 1.0) -> ClipTensors:
    """A clip at 10 Hz, or `slower`."""
    clip = ClipTensors.from_clip(make_clip(frames=FRAMES, seed=seed), range(FRAMES))
    return replace(clip, times_s=clip.times_s * slower)


def test_a_prior_is_black_where_alpha_is_at_most_a_half_and_has_all_frames_of_the_cameras_asked_for(
    model: WorldRec,
) -> None:
    clip = tensors(slower=20)
    prior, both = render_prior(model, clip, [1], fade=True), render_prior(model, clip, [0, 1], fade=True)
    assert prior.rgb.shape == (FRAMES, 1, 16, 24, 3) and prior.alpha.shape == (FRAMES, 1, 16, 24)
    assert 0 < prior.covered.mean() < 1
    assert not prior.rgb[prior.alpha < COVERED].any() and prior.rgb[prior.alpha >= COVERED].any()
    np.testing.assert_array_equal(both.rgb[:, 1:], prior.rgb)


def test_images_after_the_first_frame_change_nothing_and_those_of_the_first_do(model: WorldRec) -> None:
    clip, other = tensors(), tensors(seed=1)
    prior = render_prior(model, clip, [0], fade=True)
    later = replace(clip, rgb=torch.cat([clip.rgb[:1], other.rgb[1:]]), depth=other.depth, sky=other.sky)
    np.testing.assert_array_equal(render_prior(model, later, [0], fade=True).rgb, prior.rgb)
    first = replace(clip, rgb=torch.cat([other.rgb[:1], clip.rgb[1:]]))
    assert (render_prior(model, first, [0], fade=True).rgb != prior.rgb).any()


def test_without_fading_what_was_seen_lasts(model: WorldRec) -> None:
    clip = tensors(slower=20)  # ten seconds, past every lifespan
    fading, lasting = (render_prior(model, clip, [0], fade) for fade in (True, False))
    np.testing.assert_array_equal(fading.alpha[0], lasting.alpha[0])
    assert fading.covered[-1].mean() < 0.01 < 0.1 < lasting.covered[-1].mean()


def test_coverage_and_psnr_leave_out_the_first_frame_and_the_holes() -> None:
    """Of the second frame's four pixels one is covered, and off by 51 of 255 in every channel: 20 log10(5) dB."""
    alpha = np.array([[[[255, 255, 255, 255]]], [[[COVERED, COVERED - 1, 0, 0]]]], np.uint8)
    prior = Prior(np.full((2, 1, 1, 4, 3), 100, np.uint8), alpha)
    truth = np.full((2, 1, 1, 4, 3), 151, np.uint8)
    truth[0], truth[1, ..., 1:, :] = 0, 255
    assert prior.coverage() == 0.25
    assert prior.psnr(truth) == pytest.approx(20 * np.log10(5))


def test_where_nothing_is_covered_there_is_no_psnr() -> None:
    prior = Prior(np.zeros((2, 1, 1, 4, 3), np.uint8), np.zeros((2, 1, 1, 4), np.uint8))
    assert prior.coverage() == 0.0 and prior.psnr(np.full((2, 1, 1, 4, 3), 9, np.uint8)) is None
