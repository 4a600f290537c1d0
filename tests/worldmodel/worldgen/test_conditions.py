"""Conditions: parts of a batch, and parts left out."""

import numpy as np
import torch

from tests.worldmodel.worldgen.toy_denoiser import toy_clips
from worldmodel.worldgen.conditions import drop_conditions
from worldmodel.worldgen.denoiser_config import DropRates


def test_a_span_of_latent_frames_keeps_what_belongs_to_the_clip() -> None:
    _, whole = toy_clips(5)
    part = whole.frames(1, 3)
    assert torch.equal(part.layout, whole.layout[:, 1:3])
    assert torch.equal(part.prior, whole.prior[:, 1:3])
    assert torch.equal(part.prior_alpha, whole.prior_alpha[:, 1:3])
    assert torch.equal(part.ego, whole.ego[:, 1:3])
    assert torch.equal(part.first, whole.first)
    assert torch.equal(part.tags, whole.tags)


def test_clips_are_selected_in_the_order_asked_for() -> None:
    _, whole = toy_clips(2, batch=3)
    part = whole.select([2, 0])
    assert len(part) == 2
    assert all(torch.equal(getattr(part, name)[0], tensor[2]) for name, tensor in vars(whole).items())
    assert torch.equal(whole.select(torch.tensor([1])).layout[0], whole.layout[1])


def test_a_condition_is_left_out_by_name() -> None:
    _, whole = toy_clips(2)
    assert whole.without("ego", "tags").keep.tolist() == [[True, True, False, False]] * 2
    assert whole.keep.all()


def test_conditions_are_dropped_at_their_rates_and_never_brought_back() -> None:
    _, whole = toy_clips(1, batch=400)
    dropped = drop_conditions(
        whole.without("ego"), DropRates(layout=0, prior=1, ego=0, tags=0.25), np.random.default_rng(0)
    )
    shares = dropped.keep.float().mean(0).tolist()
    assert shares[:3] == [1.0, 0.0, 0.0]
    assert abs(shares[3] - 0.75) < 0.06


def test_the_rates_do_not_change_how_many_numbers_are_drawn() -> None:
    _, whole = toy_clips(1, batch=3)
    ends = []
    for rate in (0.0, 1.0):
        rng = np.random.default_rng(5)
        drop_conditions(whole, DropRates(layout=rate, prior=rate, ego=rate, tags=rate), rng)
        ends.append(rng.random())
    reference = np.random.default_rng(5)
    reference.random(12)
    expected = float(reference.random())
    assert ends == [expected, expected]
