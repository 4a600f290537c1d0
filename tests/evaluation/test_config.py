import subprocess
import sys

import pytest
from pydantic import ValidationError

from evaluation.config import EvaluateConfig, GateLimits

GATE = {
    "absolute": [{"source": "synthetic", "metric": "image/psnr", "min": 18.0}],
    "over_baseline": [{"metric": "image/psnr", "margin": 1.0}],
    "against_champion": [{"metric": "image/psnr", "max_drop": 0.5}],
}


def test_the_defaults_are_a_valid_evaluation():
    assert EvaluateConfig().bootstrap_resamples == 2000


@pytest.mark.parametrize("section", ["absolute", "over_baseline", "against_champion"])
def test_an_empty_gate_is_refused(section):
    with pytest.raises(ValidationError, match=section):
        GateLimits.model_validate(GATE | {section: []})


@pytest.mark.parametrize("bounds", [{}, {"min": 1.0, "max": 2.0}])
def test_an_absolute_limit_has_one_bound(bounds):
    with pytest.raises(ValidationError, match="either min or max"):
        GateLimits.model_validate(GATE | {"absolute": [{"metric": "image/psnr"} | bounds]})


def test_the_same_limit_twice_is_refused_but_a_range_is_not():
    twice = [{"metric": "image/psnr", "min": 1.0}, {"metric": "image/psnr", "min": 2.0}]
    with pytest.raises(ValidationError, match="absolute: two limits"):
        GateLimits.model_validate(GATE | {"absolute": twice})
    twice[1] = {"metric": "image/psnr", "max": 99.0}
    assert len(GateLimits.model_validate(GATE | {"absolute": twice}).absolute) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"split": "train"},
        {"limits": []},
        {"over_baseline": [{"metric": "image/psnr", "margin": -1.0}]},
        {"against_champion": [{"metric": "image/psnr", "max_drop": float("nan")}]},
    ],
)
def test_what_would_weaken_the_gate_by_accident_is_refused(change):
    with pytest.raises(ValidationError):
        GateLimits.model_validate(GATE | change)


def test_config_is_read_without_numpy():
    code = "import sys, evaluation.config; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


KVD_LIMIT = {"metric": "video/kvd-tok@i3d-k400", "better_than": "repeat_last_frame"}
PSNR_LIMIT = {"metric": "video/psnr", "min": 15.0}


@pytest.mark.parametrize(
    "limits", [[PSNR_LIMIT], [PSNR_LIMIT, KVD_LIMIT | {"method": "ode"}], [PSNR_LIMIT, KVD_LIMIT | {"source": "a"}]]
)
def test_psnr_alone_does_not_gate_generated_videos(limits):
    with pytest.raises(ValidationError, match="no limit without one on a distance"):
        GateLimits.model_validate(GATE | {"generation": limits})


def test_psnr_beside_a_distance_may_gate_generated_videos():
    assert len(GateLimits.model_validate(GATE | {"generation": [PSNR_LIMIT, KVD_LIMIT]}).generation) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max": 3.0}, "give one of"),
        ({"better_than": None}, "give one of"),
        ({"better_than": None, "max": 3.0, "margin": 1.0}, "a margin is over better_than"),
        ({"better_than": "bidirectional"}, "better_than"),
    ],
)
def test_a_limit_on_videos_asks_one_question(change, message):
    with pytest.raises(ValidationError, match=message):
        GateLimits.model_validate(GATE | {"generation": [KVD_LIMIT | change]})


def test_the_same_limit_on_videos_twice_is_refused():
    with pytest.raises(ValidationError, match="generation: two limits"):
        GateLimits.model_validate(GATE | {"generation": [KVD_LIMIT, KVD_LIMIT | {"margin": 1.0}]})
