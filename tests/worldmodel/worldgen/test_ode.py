"""Trajectories of a teacher whose Euler steps are known, their storage, and the student's regression."""

from pathlib import Path

import pytest
import torch

from tests.worldmodel.worldgen.oracles import Growing
from tests.worldmodel.worldgen.toy_denoiser import toy_clips, toy_denoiser
from tests.worldmodel.worldgen.toy_latents import ToyLatents
from worldmodel.errors import DataError, ParamsError
from worldmodel.training.follow import Follow
from worldmodel.training.loop import train
from worldmodel.worldgen.config import NoiseConfig, OdePairsConfig, OdeTraining
from worldmodel.worldgen.denoiser_config import DropRates
from worldmodel.worldgen.distillation import DistillationModule, at_levels
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.ode import Trajectories, integrate, kept_steps
from worldmodel.worldgen.pairs import (
    FOLDER,
    PairIndex,
    PairRow,
    PairStore,
    make_pairs,
    pair_bytes,
    pair_file,
    pair_noise,
    save_pair,
)
from worldmodel.worldgen.training import Setting

NOISE = NoiseConfig()
DROP = DropRates(layout=0.5, prior=0, ego=0, tags=0)


def test_states_and_end_lie_on_the_teachers_trajectory() -> None:
    z, conditions = toy_clips(3)
    start = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    found = integrate(Growing(0.5), LatentBatch(z, conditions), start, NOISE, steps=4)  # type: ignore[arg-type]
    # shift 3: levels 1, .9, .75, .5, 0; each step multiplies by 1 - 0.5 * (its length)
    factors = [1.0, 0.95, 0.95 * 0.925, 0.95 * 0.925 * 0.875]
    for place, factor in enumerate(factors):
        torch.testing.assert_close(found.states[:, place, 1:], factor * start[:, 1:])
        assert torch.equal(found.states[:, place, 0], z[:, 0])
    torch.testing.assert_close(found.ends[:, 1:], factors[-1] * 0.75 * start[:, 1:])
    assert torch.equal(found.ends[:, 0], z[:, 0])


def test_few_levels_must_lie_at_steps_of_the_integration() -> None:
    assert kept_steps(NOISE, 24) == [0, 6, 12, 18]
    assert kept_steps(NOISE, 48) == [0, 12, 24, 36]
    with pytest.raises(ParamsError, match="steps 10 does not pass through"):
        kept_steps(NOISE, 10)


@pytest.fixture
def pairs(tmp_path: Path) -> PairStore:
    """Four pairs of the toy samples, the last two in a batch of their own."""
    store, teacher = ToyLatents(), toy_denoiser().eval().requires_grad_(False)
    config = OdePairsConfig(pairs=4, steps=4, drop=DROP)
    rows = store.select("train")[:4]
    for start in (0, 2):
        made = make_pairs(teacher, store.load(rows[start : start + 2]), NOISE, config, 9, start)
        for place in range(2):
            path = pair_file(tmp_path / FOLDER, start + place)
            found = made.trajectories
            save_pair(path, found.states[place], found.ends[place], made.keep[place], "float32")
    listed = tuple(PairRow(pair=number, sample_id=row.sample_id) for number, row in enumerate(rows))
    index = PairIndex(noise=NOISE, steps=4, guidance=1.0, seed=9, bytes=0, pairs=listed)
    (tmp_path / "index.json").write_text(index.model_dump_json())
    return PairStore(tmp_path)


def test_stored_pairs_come_back_with_their_noise_drawn_again(pairs: PairStore) -> None:
    store, teacher = ToyLatents(), toy_denoiser().eval().requires_grad_(False)
    data = store.load(store.select("train")[2:4])
    loaded = pairs.load(pairs.index.pairs[2:], data.conditions.first)
    config = OdePairsConfig(pairs=4, steps=4, drop=DROP)
    made = make_pairs(teacher, data, NOISE, config, 9, 2)
    assert torch.equal(loaded.trajectories.states, made.trajectories.states)
    assert torch.equal(loaded.trajectories.ends, made.trajectories.ends)
    assert torch.equal(loaded.keep, made.keep)
    assert torch.equal(loaded.trajectories.states[0, 0, 1:], pair_noise((3, 3, 4, 6), 9, 2)[1:])


def test_the_size_that_is_announced_is_the_size_that_is_written(pairs: PairStore) -> None:
    announced = pair_bytes((3, 3, 4, 6), OdePairsConfig(pairs=4, steps=4), levels=4)
    written = sum(path.stat().st_size for path in (pairs.directory / FOLDER).iterdir())
    assert announced == 4 * 4 * (3 * 3 * 4 * 6) * 4
    assert announced < written < announced + 4 * 400


def test_a_missing_pair_and_a_missing_index_are_named(pairs: PairStore, tmp_path: Path) -> None:
    pair_file(pairs.directory / FOLDER, 1).unlink()
    with pytest.raises(DataError, match=r"000001\.safetensors: no readable ODE pair"):
        pairs.load(pairs.index.pairs[:2], torch.zeros(2, 3, 4, 6))
    with pytest.raises(DataError, match="no readable index of pairs"):
        PairStore(tmp_path / "nowhere")


def test_each_latent_frame_is_taken_at_its_own_level() -> None:
    states = torch.arange(2 * 3 * 2).reshape(2, 3, 2, 1, 1, 1).float()
    found = at_levels(Trajectories(states, states[:, 0]), torch.tensor([[0, 2], [1, 1]]))
    assert found.flatten(1).tolist() == [[0.0, 5.0], [8.0, 9.0]]


def distil(pairs: PairStore, directory: Path, same_level: bool = True) -> DistillationModule:
    directory.mkdir()
    config = OdeTraining(
        steps=30, warmup=2, lr=3e-3, batch_size=4, log_every=3, validate_every=15, validation_samples=2, ema=0.5,
        same_level=same_level,
    )  # fmt: skip
    module = DistillationModule(toy_denoiser(), config, Setting(ToyLatents(), NOISE, 0), pairs)
    train(module, directory, Follow())
    return module


def test_the_student_comes_closer_to_the_ends(pairs: PairStore, tmp_path: Path) -> None:
    history = distil(pairs, tmp_path / "run").history
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert {"val_mse", "val_motion", "val_spread"} <= set(history[-1])


def test_levels_are_one_for_a_clip_or_one_for_each_chunk(pairs: PairStore, tmp_path: Path) -> None:
    z, rng = torch.zeros(16, 3, 3, 4, 6), torch.Generator().manual_seed(0)
    setting = Setting(ToyLatents(), NOISE, 0)
    same, own = (
        DistillationModule(toy_denoiser(), OdeTraining(same_level=value), setting, pairs)._levels(z, rng)
        for value in (True, False)
    )
    assert torch.equal(same[:, 1], same[:, 2]) and len(set(same[:, 1].tolist())) == 4
    assert not torch.equal(own[:, 1], own[:, 2])


def test_the_student_sees_the_conditions_that_the_teacher_saw(pairs: PairStore) -> None:
    module = DistillationModule(toy_denoiser(), OdeTraining(batch_size=4), Setting(ToyLatents(), NOISE, 0), pairs)
    _, data = module.batch(0)
    chosen = module._chosen(0)
    assert torch.equal(data.conditions.keep, pairs.load(chosen, data.conditions.first).keep)
    assert not data.conditions.keep[:, 0].all() and data.conditions.keep[:, 1:].all()
