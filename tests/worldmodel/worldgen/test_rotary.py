"""Rotary positions: Wan's own, of any frames, and relative."""

import math

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

from worldmodel.worldgen.rotary import rotary_table, rotate


@pytest.mark.parametrize("features", [12, 16, 128])
def test_positions_from_zero_are_those_of_the_published_network(features: int) -> None:
    wan = WanRotaryPosEmbed(features, (1, 2, 2), 1024)
    cos, sin = wan(torch.zeros(1, 1, 5, 6, 8))
    table = rotary_table(range(5), (3, 4), features)
    torch.testing.assert_close(table.real, cos[0, :, 0, 0::2].float())
    torch.testing.assert_close(table.imag, sin[0, :, 0, 1::2].float())


def test_a_position_turns_the_first_pair_by_that_many_radians() -> None:
    x = torch.zeros(1, 1, 1, 12)
    x[..., 0] = 2.0
    turned = rotate(x, rotary_table([3], (1, 1), 12))[0, 0, 0]
    torch.testing.assert_close(turned[:2], torch.tensor([2 * math.cos(3), 2 * math.sin(3)]))
    assert not turned[2:].any()


def test_scores_depend_on_how_far_apart_frames_are_alone() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 6, 1, 18)
    scores = [
        (rotate(query, rotary_table([q], (2, 3), 18))[0, :, 0] @ rotate(key, rotary_table([k], (2, 3), 18))[0, :, 0].T)
        for q, k in ((9, 4), (5, 0), (5, 1))
    ]
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-4, atol=1e-4)
    assert (scores[0] - scores[2]).abs().max() > 0.1


def test_a_table_made_in_validation_serves_training() -> None:
    with torch.inference_mode():
        rotary_table([97], (1, 1), 12)
    x = torch.randn(1, 1, 1, 12, requires_grad=True)
    rotate(x, rotary_table([97], (1, 1), 12)).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())
