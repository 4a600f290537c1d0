"""The params of a bench: a run's own, but for the protocol and the model."""

import copy
import json
from pathlib import Path

import pytest

from evaluation.protocols import PRESETS
from flows.bench_params import HeldModel, bench_params, held_model
from flows.params import read_params
from flows.profile import Profile, read_profile
from worldmodel.errors import DataError
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig

ROOT = Path(__file__).parents[2]
MODEL = HeldModel(("artifacts/registered/t", "linear", "c" * 64), ("weather",), ("weather=rain",), (64, 96))


@pytest.fixture
def params() -> dict:
    return read_params(ROOT / "params.yaml")


def changed_sections(before: dict, after: dict) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_under_the_runs_own_protocol_only_methods_and_model_change(params: dict) -> None:
    before = copy.deepcopy(params)
    own = read_profile(ROOT / "params.yaml").evaluate.protocol
    after = bench_params(params, PRESETS[own], MODEL, ["synthetic"])
    assert params == before
    after["evaluate"].setdefault("protocol", own)
    before["evaluate"].setdefault("protocol", own)
    assert changed_sections(before, after) == {"rollout", "train_tokenizer"}
    assert after["rollout"] == before["rollout"] | {"split": "test", "methods": ["repeat_last_frame", "dmd"]}
    new = {"codec", "pretrained", "tag_keys"}
    assert {k: v for k, v in after["train_tokenizer"].items() if k not in new} == {
        k: v for k, v in before["train_tokenizer"].items() if k not in new
    }
    Profile.model_validate(after)


def test_the_tokenizer_is_the_registered_one_and_tags_mean_what_its_generator_learned(params: dict) -> None:
    section = bench_params(params, PRESETS["tiny"], MODEL, ["synthetic"])["train_tokenizer"]
    config = TrainTokenizerConfig.model_validate(section)
    assert config.pretrained is not None and config.pretrained.sha256 == "c" * 64
    assert (config.codec, config.pretrained.vocabulary, config.tag_keys) == ("linear", ("weather=rain",), ("weather",))


@pytest.mark.parametrize(
    ("protocol", "own", "frames"), [("tiny", 13, 17), ("tiny", 33, 33), ("vista25", 17, 25), ("debug", 9, 13)]
)
def test_videos_are_as_long_as_the_protocol_needs_in_whole_latent_frames(
    params: dict, protocol: str, own: int, frames: int
) -> None:
    params["train_tokenizer"]["frames"] = own
    params["render_priors"]["max_frames"] = 20
    after = bench_params(params, PRESETS[protocol], MODEL, ["synthetic"])
    assert after["train_tokenizer"]["frames"] == frames
    assert after["render_priors"]["max_frames"] == (20 if frames == own else None)


def test_a_published_protocol_brings_its_rate_split_and_cameras(params: dict) -> None:
    after = bench_params(params, PRESETS["wcoda16"], MODEL, ["nuscenes"])
    cameras = {"nuscenes": list(PRESETS["wcoda16"].cameras or ())}
    assert (after["train_tokenizer"]["rate_hz"], after["reconstruct"]["splits"]) == (12.0, ["val"])
    assert after["train_tokenizer"]["eval_cameras"] == after["rollout"]["cameras"] == cameras
    assert after["render_priors"]["cameras"] == after["train_tokenizer"]["cameras"] == cameras


def test_a_version_without_worldgen_changes_nothing_of_the_tokenizer(params: dict) -> None:
    after = bench_params(params, PRESETS["tiny"], HeldModel(), ["synthetic"])
    assert after["train_tokenizer"] == params["train_tokenizer"]


def write_parts(root: Path) -> Path:
    parts = root / "artifacts" / "registered"
    for folder in ("train_tokenizer/tokenizer", "worldgen_dmd"):
        (parts / folder).mkdir(parents=True)
    (parts / "train_tokenizer/tokenizer/tokenizer.safetensors").write_bytes(b"weights")
    (parts / "train_tokenizer/tokenizer/config.json").write_text('{"codec": "wan"}')
    sampling = {"tag_keys": ["weather"], "vocabulary": ["weather=rain"]}
    said = {"sampling": sampling, "denoiser": {"latents": {"grid": [6, 8], "stride": 8}}}
    (parts / "worldgen_dmd/config.json").write_text(json.dumps(said))
    return parts


def test_what_stages_must_know_is_read_from_the_parts(tmp_path: Path) -> None:
    held = held_model(tmp_path, write_parts(tmp_path))
    assert held.tokenizer is not None
    assert held.tokenizer[:2] == ("artifacts/registered/train_tokenizer/tokenizer", "wan")
    assert (held.tag_keys, held.vocabulary, held.image_size) == (("weather",), ("weather=rain",), (48, 64))
    (tmp_path / "none").mkdir()
    assert held_model(tmp_path, tmp_path / "none") == HeldModel()


@pytest.mark.parametrize("text", ["{", "{}", '{"sampling": 3, "denoiser": {}}'])
def test_a_part_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    parts = write_parts(tmp_path)
    (parts / "worldgen_dmd/config.json").write_text(text)
    with pytest.raises(DataError, match="registered: a registered part cannot be read"):
        held_model(tmp_path, parts)
