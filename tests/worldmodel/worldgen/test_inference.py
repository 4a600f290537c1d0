"""A generator from files: a video from a first frame and a layout, and clear refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.worldmodel.worldgen.toy_denoiser import toy_denoiser
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError, StageError
from worldmodel.worldgen.codec.files import save_codec
from worldmodel.worldgen.codec.linear import LinearFit
from worldmodel.worldgen.conditions import Conditions
from worldmodel.worldgen.config import NoiseConfig
from worldmodel.worldgen.encoding import encode_samples
from worldmodel.worldgen.generator_files import Sampler, SamplingConfig, save_generator
from worldmodel.worldgen.inference import Generator, load_generator, to_pixels
from worldmodel.worldgen.priors import PriorStore
from worldmodel.worldgen.samples import SampleRow
from worldmodel.worldgen.tokenizer_config import LinearConfig

FIRST = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
LAYOUT = np.random.default_rng(1).integers(0, 256, (9, 8, 12, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (9, 8, 12), dtype=np.uint8)


def write(root: Path, sampler: Sampler = "few_step", channels: int = 3) -> Path:
    fit = LinearFit(LinearConfig(channels=channels, spatial_stride=2))
    fit.add(torch.rand(2, 9, 8, 12, 3, generator=torch.Generator().manual_seed(0)))
    save_codec(fit.finish(), root / "tokenizer")
    vocabulary = ("weather=clear", "weather=rain", "time_of_day=day")
    sampling = SamplingConfig(
        sampler=sampler, noise=NoiseConfig(), frames=9, rate_hz=10.0, tag_keys=("weather", "time_of_day"),
        vocabulary=vocabulary,
    )  # fmt: skip
    save_generator(toy_denoiser(window=3), sampling, root / "worldgen")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def generator(root: Path) -> Generator:
    return load_generator(root / "tokenizer", root / "worldgen")


def test_a_video_starts_with_the_given_frame_and_goes_by_the_seed(generator: Generator) -> None:
    video = generator.generate(FIRST, LAYOUT)
    assert video.shape == LAYOUT.shape and video.dtype == np.uint8
    given = generator.codec.decode(generator.codec.encode(torch.from_numpy(FIRST)[None, None].float() / 255))
    assert np.array_equal(video[0], (given[0, 0] * 255).round().to(torch.uint8).numpy())
    assert np.array_equal(video, generator.generate(FIRST, LAYOUT))
    assert not np.array_equal(video[1:], generator.generate(FIRST, LAYOUT, seed=1)[1:])


def test_every_condition_has_its_effect(generator: Generator) -> None:
    plain = generator.generate(FIRST, LAYOUT)
    path = np.tile(np.eye(4), (9, 1, 1))
    path[:, 0, 3] = np.arange(9)
    for changed in (
        generator.generate(FIRST, 255 - LAYOUT),
        generator.generate(FIRST, LAYOUT, tags={"weather": "rain"}),
        generator.generate(FIRST, LAYOUT, world_from_ego=path),
    ):
        assert not np.array_equal(plain[1:], changed[1:])


def stored_conditions(generator: Generator, clip: Clip, priors: PriorStore) -> Conditions:
    """Of the whole clip, as `train_tokenizer` makes them."""
    row = SampleRow("a.front.000", "a", "a", "toy", "front", 0, tuple(range(9)), "test", False, (0, 0))
    tensors = encode_samples(generator.codec, clip, [row], priors, "cpu")[0].tensors
    z, rest = tensors.pop("z"), {name: tensor[None] for name, tensor in tensors.items()}
    tags, keep = torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 4, dtype=torch.bool)
    return Conditions(tags=tags, keep=keep, first=z[None, 0], **rest)


def test_a_prior_steers_as_it_does_in_what_is_measured(generator: Generator, tmp_path: Path) -> None:
    rgb = 255 - LAYOUT
    (tmp_path / "priors").mkdir()
    files = {"rgb": torch.from_numpy(rgb)[:, None], "alpha": torch.from_numpy(ALPHA)[:, None]}
    save_file(files, tmp_path / "priors" / "a.safetensors")
    index = {"schema_version": 1, "clips": [{"clip_id": "a", "cameras": ["front"]}]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    pictures = np.concatenate([FIRST[None], LAYOUT[1:]])[:, None]
    clip = Clip(
        clip_id="a", log_id="a", source="toy", licence="MIT", cameras=("front",), rate_hz=10.0,
        times_s=np.arange(9) / 10, rgb=pictures, layout_rgb=LAYOUT[:, None],
    )  # fmt: skip
    stored = stored_conditions(generator, clip, PriorStore(tmp_path))
    assert not stored.prior_alpha[0, 0].any() and stored.prior_alpha[0, 1:].any()
    measured = to_pixels(generator.codec.decode(generator.sample(stored, ["generate"], 0)))[0]
    video = generator.generate(FIRST, LAYOUT, prior=rgb, prior_alpha=ALPHA)
    assert np.array_equal(video, measured)
    assert np.array_equal(video, generator.generate(FIRST, LAYOUT, prior=rgb, prior_alpha=ALPHA / 255))
    other = np.concatenate([LAYOUT[:1], rgb[1:]])
    assert np.array_equal(video, generator.generate(FIRST, LAYOUT, prior=other, prior_alpha=ALPHA))
    assert not np.array_equal(video[1:], generator.generate(FIRST, LAYOUT)[1:])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_frames_that_are_not_numbers_are_no_picture(bad: float) -> None:
    frames = torch.full((1, 2, 2, 2, 3), 0.5)
    assert to_pixels(frames).ravel().tolist() == [128] * 24
    frames[0, 1, 0, 0, 0] = bad
    with pytest.raises(StageError, match=r"not numbers(.*\n)*.*1 of 24"):
        to_pixels(frames)


def test_a_causal_generator_goes_on_past_what_it_was_trained_on(generator: Generator, tmp_path: Path) -> None:
    longer = np.concatenate([LAYOUT, LAYOUT[:4]])
    video = generator.generate(FIRST, longer)
    assert video.shape == longer.shape
    full = load_generator(write(tmp_path, "full") / "tokenizer", tmp_path / "worldgen", steps=2)
    assert full.generate(FIRST, LAYOUT).shape == LAYOUT.shape
    with pytest.raises(DataError, match="makes a clip at once"):
        full.generate(FIRST, longer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first_frame": FIRST[:4]}, r"first_frame.*\n.*uint8 \[8, 12, 3\].*\n.*\[4, 12, 3\]"),
        ({"first_frame": FIRST / 255}, r"first_frame.*\n.*uint8.*\n.*float64"),
        ({"layout": LAYOUT[:8]}, r"layout: wrong number of frames.*\n.*T = 1 \+ 4k.*\n.*T = 8"),
        ({"layout": LAYOUT[:1]}, r"wrong number of frames"),
        ({"layout": LAYOUT[:, :, :4]}, r"layout.*\n.*8, 12, 3"),
        ({"prior": LAYOUT}, r"prior_alpha: missing.*\n.*together"),
        ({"prior_alpha": ALPHA}, r"prior: missing.*\n.*together"),
        ({"prior": LAYOUT[:5], "prior_alpha": ALPHA}, r"prior\n.*\[9, 8, 12, 3\].*\n.*\[5, 8, 12, 3\]"),
        ({"prior": LAYOUT, "prior_alpha": ALPHA[:5]}, r"prior_alpha\n.*\[9, 8, 12\].*\n.*\[5, 8, 12\]"),
        ({"prior": LAYOUT, "prior_alpha": ALPHA > 0}, r"prior_alpha\n.*uint8 or float.*\n.*bool"),
        ({"prior": LAYOUT, "prior_alpha": ALPHA * 1.5}, r"prior_alpha\n.*0\.\.1"),
        ({"world_from_ego": np.eye(4)}, r"world_from_ego.*\n.*\[9, 4, 4\]"),
        ({"tags": {"weather": "snow"}}, r"weather=snow is not known.*\n.*weather=clear or weather=rain"),
        ({"tags": {"season": "winter"}}, r"season=winter is not known"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(
    generator: Generator, changes: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"first_frame": FIRST, "layout": LAYOUT} | changes
    with pytest.raises(DataError, match=message):
        generator.generate(given.pop("first_frame"), given.pop("layout"), **given)


def test_a_tokenizer_of_another_size_and_a_missing_config_are_named(root: Path, tmp_path: Path) -> None:
    other = write(tmp_path, channels=4)
    with pytest.raises(DataError, match="not a generator for the tokenizer"):
        load_generator(other / "tokenizer", root / "worldgen")
    (other / "worldgen" / "config.json").unlink()
    with pytest.raises(DataError, match="no usable generator config"):
        load_generator(root / "tokenizer", other / "worldgen")
