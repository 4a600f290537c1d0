"""What a step sees is a function of seed and step, and rare sources are seen."""

import collections

import torch

from tests.worldmodel.worldgen.toy_latents import ToyLatents, toy_row
from worldmodel.worldgen.config import BidirectionalTraining
from worldmodel.worldgen.denoiser_config import DropRates
from worldmodel.worldgen.draws import draw_rows, training_batch, validation_batch


def test_rows_are_different_while_there_are_enough_and_repeat_otherwise() -> None:
    rows = [toy_row(number) for number in range(4)]
    assert len(set(draw_rows(rows, 4, 0.1, 0, "s", 1))) == 4
    assert len(draw_rows(rows, 9, 0.1, 0, "s", 1)) == 9
    assert draw_rows(rows, 3, 0.1, 0, "s", 1) == draw_rows(rows, 3, 0.1, 0, "s", 1)
    assert draw_rows(rows, 3, 0.1, 0, "s", 1) != draw_rows(rows, 3, 0.1, 0, "s", 2)


def test_a_rare_source_gets_its_share() -> None:
    rows = [*(toy_row(number) for number in range(30)), toy_row(30, "rare")]
    drawn = collections.Counter(draw_rows(rows, 1, 0.25, 0, "s", step)[0].source for step in range(400))
    assert 0.2 < drawn["rare"] / 400 < 0.3


def test_conditions_are_left_out_at_their_rates() -> None:
    config = BidirectionalTraining(batch_size=4, drop=DropRates(layout=0.5, prior=0, ego=0, tags=1))
    store = ToyLatents()
    keep = torch.cat([training_batch(store, config, 0, "s", step)[1].conditions.keep for step in range(60)])
    assert 0.4 < keep[:, 0].float().mean() < 0.6
    assert keep[:, 1:3].all() and not keep[:, 3].any()


def test_validation_takes_the_first_samples_whole() -> None:
    found = validation_batch(ToyLatents(), BidirectionalTraining(validation_samples=1))
    assert found is not None
    assert [row.split for row in found[0]] == ["val"]
    assert found[1].conditions.keep.all()
