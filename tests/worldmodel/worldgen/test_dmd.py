"""Distribution matching: when it is silent, what it updates when, what it draws, and that resuming keeps the bits."""

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests.worldmodel.worldgen.toy_denoiser import toy_denoiser
from tests.worldmodel.worldgen.toy_latents import ToyLatents
from worldmodel.errors import Preempted
from worldmodel.training.follow import Follow
from worldmodel.training.loop import train
from worldmodel.worldgen.config import DmdTraining, NoiseConfig
from worldmodel.worldgen.dmd import DmdModule
from worldmodel.worldgen.training import Setting


def module(**changes: object) -> DmdModule:
    config = DmdTraining.model_validate(
        {
            "steps": 5, "warmup": 1, "ratio": 2, "batch_size": 2, "log_every": 1, "validate_every": 4,
            "checkpoint_every": 9, "lr": 1e-3, "fake_lr": 1e-3, "validation_samples": 2,
        }
        | changes
    )  # fmt: skip
    real = toy_denoiser()
    with torch.no_grad():
        for parameter in real.parameters():
            parameter.mul_(1.1)
    return DmdModule(toy_denoiser(), real, config, Setting(ToyLatents(), NoiseConfig(), 0))


def trained(directory: Path, follow: Follow | None = None) -> DmdModule:
    directory.mkdir(exist_ok=True)
    made = module()
    train(made, directory, follow or Follow())
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> DmdModule:
    """A run that nothing disturbed."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return trained(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("stop_at", [2, 3])
def test_a_run_stopped_and_continued_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, whole: DmdModule, stop_at: int
) -> None:
    done: list[int] = []
    stopping = Follow(progress=lambda step, total: done.append(step), should_stop=lambda: done[-1] == stop_at)
    with pytest.raises(Preempted):
        trained(tmp_path / "a", stopping)
    continued = trained(tmp_path / "a")
    assert continued.start == stop_at
    assert continued.history == whole.history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, continued.state_dict()[name]), name


def test_while_both_scores_agree_the_generator_is_left_alone() -> None:
    made = module(regression=0.0)
    index, data = made.batch(0)
    loss, parts = made.generator_loss(data, 0, index)
    assert loss.item() == 0.0 and parts["gradient_rms"].item() == 0.0
    with torch.no_grad():
        for parameter in made.fake.parameters():
            parameter.mul_(0.9)
    loss, parts = made.generator_loss(data, 0, index)
    loss.backward()
    assert parts["gradient_rms"].item() > 0
    assert sum(float(p.grad.abs().sum()) for p in made.network.parameters() if p.grad is not None) > 0
    assert not any(p.grad is not None for p in [*made.fake.parameters(), *made.frozen[0].parameters()])


def test_the_generator_moves_at_every_ratioth_step_and_the_fake_score_at_each(tmp_path: Path) -> None:
    made, generators, fakes = module(), [], []

    def note(step: int, total: int) -> None:
        generators.append(copy.deepcopy(made.network.state_dict()))
        fakes.append(copy.deepcopy(made.fake.state_dict()))

    real = copy.deepcopy(made.frozen[0].state_dict())
    train(made, tmp_path, Follow(progress=note))

    def moved(states: list[dict[str, torch.Tensor]]) -> list[bool]:
        return [any(not torch.equal(a[name], b[name]) for name in a) for a, b in pairwise(states)]

    assert moved(generators) == [False, True, False, True]
    assert moved(fakes) == [True] * 4
    assert all(torch.equal(real[name], tensor) for name, tensor in made.frozen[0].state_dict().items())
    assert not any(name.startswith("frozen") for name in made.state_dict())


def test_a_rollout_draws_the_same_numbers_wherever_it_leaves() -> None:
    made = module()
    _, data = made.batch(0)
    ends, videos = [], []
    for step in range(12):  # which level is left at depends on the step alone
        rng = torch.Generator().manual_seed(5)
        videos.append(made.rollout(data, step, rng, differentiable=False))
        ends.append(rng.get_state())
    assert all(torch.equal(end, ends[0]) for end in ends)
    kinds = {float(video[:, 1:].sum()) for video in videos}
    assert 1 < len(kinds) <= 4


def test_guidance_moves_the_real_score_away_from_the_one_without_tags() -> None:
    plain, guided = module(), module(guidance=3.0)
    _, data = plain.batch(0)
    sigma = torch.full(data.z.shape[:2], 0.5)
    with torch.no_grad():
        asked = plain._real_velocity(data.z, sigma, data.conditions)
        without = plain._real_velocity(data.z, sigma, data.conditions.without("tags"))
        found = guided._real_velocity(data.z, sigma, data.conditions)
    torch.testing.assert_close(found, without + 3 * (asked - without))


def test_the_history_has_the_parts_and_no_loss_that_would_mean_something_else(whole: DmdModule) -> None:
    history = whole.history
    assert [record["step"] for record in history] == list(range(1, 6))
    assert {"step", "lr", "gradient_rms", "regression", "fake_flow"} == set(history[0])
    assert {"val_mse", "val_motion", "val_spread"} <= set(history[3])
    assert history[1]["regression"] == history[0]["regression"] != history[2]["regression"]
