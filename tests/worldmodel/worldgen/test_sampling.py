"""Samplers with an oracle end at the truth; noise goes by sample; gradients reach only where they should."""

from typing import Any

import pytest
import torch

from tests.worldmodel.worldgen.oracles import Oracle
from tests.worldmodel.worldgen.toy_denoiser import toy_clips, toy_denoiser
from worldmodel.worldgen.noise import euler_sigmas, few_step_sigmas
from worldmodel.worldgen.sampling import euler_solver, few_step_solver, sample_causal, sample_full, sample_noise

FEW = few_step_sigmas((1.0, 0.75, 0.5, 0.25), 3.0)
KEYS = ["a", "b"]


def noise_for(frames: int, steps: int = 4) -> torch.Tensor:
    return sample_noise(KEYS, 0, steps, toy_clips(frames)[0].shape[1:])


@pytest.mark.parametrize("run", [sample_full, sample_causal])
@pytest.mark.parametrize("solver", [euler_solver(euler_sigmas(5, 3.0)), few_step_solver(FEW)])
def test_with_a_perfect_prediction_every_sampler_returns_the_truth(run: Any, solver: Any) -> None:
    _, conditions = toy_clips(4)
    made = run(Oracle(), conditions, noise_for(4), solver)
    torch.testing.assert_close(made[:, 1:], conditions.prior[:, 1:], atol=1e-5, rtol=0)
    assert torch.equal(made[:, 0], conditions.first)


def test_guidance_goes_past_the_prediction_with_tags_away_from_the_one_without() -> None:
    _, conditions = toy_clips(3)
    for run in (sample_full, sample_causal):
        made = run(Oracle(tag_shift=1.0), conditions, noise_for(3), few_step_solver(FEW[:1]), 3.0)
        torch.testing.assert_close(made[:, 1:], conditions.prior[:, 1:] + 3.0, atol=1e-5, rtol=0)


def test_the_cache_gets_every_clean_chunk_but_the_last() -> None:
    _, conditions = toy_clips(6)
    oracle = Oracle(chunk=2)
    made = sample_causal(oracle, conditions, noise_for(6), few_step_solver(FEW))  # type: ignore[arg-type]
    assert [chunk.shape[1] for chunk in oracle.written] == [1, 2, 2]
    assert torch.equal(torch.cat(oracle.written, 1), made[:, :5])


def test_only_the_prediction_at_the_exit_level_has_a_gradient() -> None:
    _, conditions = toy_clips(2)
    oracle = Oracle()
    sample_causal(oracle, conditions, noise_for(2), few_step_solver(FEW, 2, differentiable=True))  # type: ignore[arg-type]
    assert oracle.asked == [(1.0, False), (0.9, False), (0.75, True)]
    oracle.asked.clear()
    sample_causal(oracle, conditions, noise_for(2), few_step_solver(FEW))  # type: ignore[arg-type]
    assert oracle.asked == [(1.0, False), (0.9, False), (0.75, False), (0.5, False)]


def test_the_noise_of_a_sample_depends_on_its_key_and_seed_alone() -> None:
    shape = (3, 2, 4, 6)
    both, alone = sample_noise(["a", "b"], 0, 4, shape), sample_noise(["b"], 0, 4, shape)
    assert torch.equal(both[1:], alone)
    assert torch.equal(alone[:, :1], sample_noise(["b"], 0, 1, shape))
    assert not torch.equal(alone, sample_noise(["b"], 1, 4, shape))
    assert abs(float(both.std()) - 1) < 0.05


def test_a_sample_hardly_depends_on_the_samples_beside_it() -> None:
    denoiser, (_, conditions) = toy_denoiser(chunk=2).eval().requires_grad_(False), toy_clips(4)
    noise = noise_for(4)
    made = sample_causal(denoiser, conditions, noise, few_step_solver(FEW))
    alone = sample_causal(denoiser, conditions.select([1]), noise[1:], few_step_solver(FEW))
    torch.testing.assert_close(made[1:], alone, atol=1e-4, rtol=1e-4)
