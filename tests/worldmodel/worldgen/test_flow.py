"""The first two stages: what a step depends on, that the loss falls, and that a stopped run ends with the same bits."""

from pathlib import Path

import pytest
import torch

from tests.worldmodel.worldgen.toy_denoiser import toy_denoiser
from tests.worldmodel.worldgen.toy_latents import ToyLatents
from worldmodel.errors import Preempted
from worldmodel.training.follow import Follow
from worldmodel.training.loop import train
from worldmodel.worldgen.config import BidirectionalTraining, NoiseConfig, TeacherForcingTraining
from worldmodel.worldgen.flow import BidirectionalModule, TeacherForcingModule
from worldmodel.worldgen.training import Setting

SHORT = {"warmup": 2, "batch_size": 4, "log_every": 2, "validate_every": 4, "checkpoint_every": 4, "lr": 3e-3}


def module(kind: type[BidirectionalModule] = BidirectionalModule, steps: int = 8) -> BidirectionalModule:
    setting = Setting(ToyLatents(), NoiseConfig(), 0)
    if kind is TeacherForcingModule:
        return TeacherForcingModule(
            toy_denoiser(), TeacherForcingTraining.model_validate(SHORT | {"steps": steps}), setting
        )
    return BidirectionalModule(toy_denoiser(), BidirectionalTraining.model_validate(SHORT | {"steps": steps}), setting)


def trained(directory: Path, follow: Follow | None = None, steps: int = 8) -> BidirectionalModule:
    directory.mkdir(exist_ok=True)
    made = module(steps=steps)
    train(made, directory, follow or Follow())
    return made


@pytest.mark.parametrize("stop_at", [3, 6])
def test_a_run_stopped_and_continued_ends_with_the_bits_of_an_undisturbed_one(tmp_path: Path, stop_at: int) -> None:
    done: list[int] = []
    stopping = Follow(progress=lambda step, total: done.append(step), should_stop=lambda: done[-1] == stop_at)
    with pytest.raises(Preempted, match=f"after step {stop_at}"):
        trained(tmp_path / "a", stopping)
    continued, whole = trained(tmp_path / "a"), trained(tmp_path / "b")
    assert continued.start == stop_at
    assert continued.history == whole.history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, continued.state_dict()[name]), name


def test_the_loss_falls_and_the_average_does_better_than_the_start(tmp_path: Path) -> None:
    made = trained(tmp_path / "a", steps=30)
    first, last = made.history[1], made.history[-1]
    assert last["loss"] < 0.85 * made.history[0]["loss"]
    assert last["val_loss"] < first["val_loss"]


def test_the_average_and_not_the_network_is_what_comes_out_and_is_validated(tmp_path: Path) -> None:
    made = trained(tmp_path / "a")
    pairs = list(zip(made.network.parameters(), made.average.parameters(), strict=True))
    assert all(not torch.equal(now, kept) for now, kept in pairs if now.grad is not None and now.grad.any())
    before = made.validation_values()
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.zero_()
    assert made.validation_values() == before


def test_a_step_is_a_function_of_seed_and_index(tmp_path: Path) -> None:
    one, other = module(), module()
    for index in (0, 5):
        (_, a), (_, b) = one.batch(index), other.batch(index)
        assert torch.equal(a.z, b.z) and torch.equal(a.conditions.keep, b.conditions.keep)
        assert torch.equal(one.training_step((index, a), 0), other.training_step((index, b), 0))
    assert not torch.equal(one.batch(0)[1].z, one.batch(1)[1].z)


def test_teacher_forcing_sees_the_clean_past_and_nothing_clean_of_its_own_chunk() -> None:
    made = module(TeacherForcingModule)
    _, data = made.batch(0)
    sigma = torch.tensor([0.0, 0.5, 0.5]).expand(4, 3)
    with torch.no_grad():
        said = made.ask(made.network, data, data.z, sigma, data.z)
        past = data.z.clone()
        past[:, 1] += 1
        other = made.ask(made.network, data, data.z, sigma, past)
    assert torch.equal(said[:, :2], other[:, :2])
    assert (said[:, 2] - other[:, 2]).abs().mean() > 1e-4


def test_the_past_is_a_little_noisy_and_the_given_frame_is_not() -> None:
    made = module(TeacherForcingModule)
    z = made.batch(0)[1].z
    past = made.past(z, made.rng(0))
    assert torch.equal(past[:, 0], z[:, 0])
    moved = (past - z)[:, 1:].square().mean().sqrt()
    assert 0 < moved < 0.1
    levels = made.sigmas(z, made.rng(0))
    assert (levels[:, 1] != levels[:, 2]).all() and not levels[:, 0].any()


def test_without_validation_samples_no_validation_is_reported() -> None:
    made = module()
    made.setting.store.rows = made.setting.store.select("train")  # type: ignore[attr-defined]
    assert made.validation_values() == {}
