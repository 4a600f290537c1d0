"""Params that contradict each other across sections are refused, and both keys are named."""

from pathlib import Path

import pytest

from flows.profile import read_profile
from worldmodel.errors import ParamsError

ROOT = Path(__file__).parents[2]
SYNTHETIC = "synthetic: {logs: 84, clips_per_log: 1, frames: 20, rate_hz: 10.0, height: 64, width: 96}"
MODEL = "patch: 2, chunk: 1, window: 5}"


@pytest.mark.parametrize("name", ["params.yaml", "profiles/debug.yaml", "profiles/paper.yaml"])
def test_the_profiles_of_the_repository_contradict_nothing(name: str) -> None:
    assert read_profile(ROOT / name).train_tokenizer.frames >= 5


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            {"  height: 64": "  height: 72", SYNTHETIC: SYNTHETIC.replace("height: 64", "height: 72")},
            ("prepare.height 72", "multiple of 16", "train_tokenizer.linear.spatial_stride", "model.patch"),
        ),
        (
            {"  width: 96": "  width: 100", SYNTHETIC: SYNTHETIC.replace("width: 96", "width: 100")},
            ("prepare.width 100", "multiple of 16", "train_tokenizer.linear.spatial_stride", "model.patch"),
        ),
        (
            {"codec: linear": "codec: wan", MODEL: "patch: 5, chunk: 1, window: 5}"},
            ("prepare.height 64", "multiple of 40", "train_tokenizer.wan.architecture", "model.patch"),
        ),
        (
            {SYNTHETIC: SYNTHETIC.replace("frames: 20", "frames: 16")},
            ("prepare.synthetic.frames 16 must be 17", "train_tokenizer.frames 17"),
        ),
        (
            {SYNTHETIC: SYNTHETIC.replace("rate_hz: 10.0", "rate_hz: 20.0")},
            ("prepare.synthetic.frames 20 must be 33", "train_tokenizer.frames 17"),
        ),
        ({"fade: false": "max_frames: 16"}, ("render_priors.max_frames 16 must be 17", "train_tokenizer.frames 17")),
        (
            {"  pairs: 128\n  steps: 24": "  pairs: 128\n  steps: 10"},
            ("worldgen_ode_pairs.steps 10", "worldgen_bidirectional.noise.few_steps", "2.5"),
        ),
        (
            {MODEL: "patch: 2, chunk: 3, window: 5}"},
            ("train_tokenizer.frames 17", "worldgen_bidirectional.model.chunk 3"),
        ),
        (
            {MODEL: "patch: 2, chunk: 1, window: 6}"},
            ("train_tokenizer.frames 17", "worldgen_bidirectional.model.window 6"),
        ),
        (
            {"  clip_frames: 32\n  rate_hz: 10.0": "  clip_frames: 32\n  rate_hz: 15.0"},
            ("prepare.rate_hz 15", "train_tokenizer.rate_hz 10"),
        ),
        (
            {SYNTHETIC: SYNTHETIC.replace("rate_hz: 10.0", "rate_hz: 5.0")},
            ("prepare.synthetic.rate_hz 5", "train_tokenizer.rate_hz 10"),
        ),
    ],
)
def test_a_contradiction_names_both_keys(tmp_path: Path, edits: dict[str, str], words: tuple[str, ...]) -> None:
    text = (ROOT / "params.yaml").read_text()
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError) as caught:
        read_profile(path)
    assert all(word in caught.value.got for word in words), caught.value.got


def test_a_pretrained_tokenizer_brings_a_stride_that_params_do_not_know(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(
        text.replace("codec: linear", "codec: wan\n  wan: {pretrained: vae}").replace("patch: 2", "patch: 5")
    )
    assert read_profile(path).worldgen_bidirectional.model.patch == 5
