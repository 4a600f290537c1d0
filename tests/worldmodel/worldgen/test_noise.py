"""Noise levels by hand."""

import pytest
import torch

from worldmodel.worldgen.noise import (
    add_noise,
    chunk_bounds,
    chunk_sigmas,
    clip_sigmas,
    euler_sigmas,
    few_step_sigmas,
    per_frame,
    spread_uniform,
    to_clean,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_levels_are_warped_towards_noise() -> None:
    assert few_step_sigmas((1.0, 0.75, 0.5, 0.25), shift=3) == pytest.approx([1.0, 0.9, 0.75, 0.5])
    assert few_step_sigmas((1.0, 0.75, 0.5, 0.25), shift=5) == pytest.approx([1.0, 0.9375, 5 / 6, 0.625])
    assert euler_sigmas(4, shift=3) == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])
    assert euler_sigmas(2, shift=1) == pytest.approx([1.0, 0.5, 0.0])


def test_noise_is_added_along_a_straight_line_and_taken_off_again() -> None:
    x0, noise = torch.full((1, 2, 1, 1, 1), 4.0), torch.full((1, 2, 1, 1, 1), -2.0)
    sigma = torch.tensor([[0.0, 0.75]])
    x = add_noise(x0, noise, sigma)
    assert x.flatten().tolist() == [4.0, -0.5]
    assert to_clean(x, noise - x0, sigma).flatten().tolist() == [4.0, 4.0]
    assert to_clean(x[:, 1:], noise[:, 1:] - x0[:, 1:], 0.75).item() == 4.0


def test_the_first_latent_frame_is_a_chunk_of_its_own_and_the_last_may_be_short() -> None:
    assert chunk_bounds(6, 2) == [(0, 1), (1, 3), (3, 5), (5, 6)]
    assert chunk_bounds(3, 1) == [(0, 1), (1, 2), (2, 3)]
    assert per_frame(torch.tensor([[7, 8, 9]]), 4, 2).tolist() == [[7, 8, 8, 9]]


def test_a_batch_is_spread_over_all_levels_and_columns_are_independent() -> None:
    drawn = spread_uniform(8, 2, rng())
    for column in drawn.T:
        assert sorted((column * 8).int().tolist()) == list(range(8))
    assert (drawn[:, 0] * 8).int().tolist() != (drawn[:, 1] * 8).int().tolist()
    means = torch.stack(
        [spread_uniform(4, 1, rng)[0, 0] for rng in [torch.Generator().manual_seed(n) for n in range(500)]]
    )
    assert abs(float(means.mean()) - 0.5) < 0.04 and abs(float(means.std()) - 12**-0.5) < 0.02


def test_a_clip_has_one_level_and_a_chunk_its_own_and_the_given_frame_none() -> None:
    clips = clip_sigmas(3, 5, 3.0, rng())
    assert clips[:, 0].tolist() == [0.0] * 3
    assert all(len(set(row[1:].tolist())) == 1 for row in clips)
    assert len(set(clips[:, 1].tolist())) == 3
    chunks = chunk_sigmas(2, 5, 2, 3.0, rng())
    assert chunks[:, 0].tolist() == [0.0] * 2
    assert torch.equal(chunks[:, 1], chunks[:, 2]) and torch.equal(chunks[:, 3], chunks[:, 4])
    assert (chunks[:, 1] != chunks[:, 3]).all()
