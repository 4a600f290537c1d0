import pytest
from pydantic import ValidationError

from evaluation.gate_config import GateLimits
from tests.evaluation.gating import LIMITS, limits

PSNR = {"metric": "image/psnr"}


@pytest.mark.parametrize("section", ["absolute", "over_baseline", "against_champion", "budgets", "stages"])
def test_an_empty_gate_is_refused(section):
    with pytest.raises(ValidationError, match=section):
        limits(**{section: []})


@pytest.mark.parametrize("section", ["protocol", "budgets", "absolute", "over_baseline", "against_champion"])
def test_what_a_gate_cannot_do_without_has_no_default(section):
    with pytest.raises(ValidationError, match=section):
        GateLimits.model_validate({name: value for name, value in LIMITS.items() if name != section})


@pytest.mark.parametrize("bounds", [{}, {"min": 1.0, "max": 2.0}])
def test_an_absolute_limit_has_one_bound(bounds):
    with pytest.raises(ValidationError, match="either min or max"):
        limits(absolute=[PSNR | bounds])


def test_the_same_limit_twice_is_refused_but_a_range_is_not():
    twice = [PSNR | {"min": 1.0}, PSNR | {"min": 2.0}]
    with pytest.raises(ValidationError, match="absolute: two limits"):
        limits(absolute=twice)
    assert len(limits(absolute=[twice[0], PSNR | {"max": 99.0}]).absolute) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"split": "test"},
        {"limits": []},
        {"protocol": "own17"},
        {"over_baseline": [PSNR | {"margin": -1.0}]},
        {"against_champion": [PSNR | {"max_drop": float("nan")}]},
        {"against_champion": [PSNR | {"max_drop": 1.0, "judge": "mean"}]},
        {"budgets": [{"measure": "seconds", "max": 1.0}]},
        {"budgets": [{"measure": "seconds_per_frame", "max": 0.0}]},
    ],
)
def test_what_would_weaken_the_gate_by_accident_is_refused(change):
    with pytest.raises(ValidationError):
        limits(**change)


def test_the_protocol_says_which_split_is_judged():
    assert limits().preset.split == "test"
    assert limits(protocol="storm-waymo").preset.split == "val"


KVD_LIMIT = {"metric": "video/kvd-tok@i3d-k400", "better_than": "repeat_last_frame"}
PSNR_LIMIT = {"metric": "video/psnr", "min": 15.0}


@pytest.mark.parametrize(
    "found", [[PSNR_LIMIT], [PSNR_LIMIT, KVD_LIMIT | {"method": "ode"}], [PSNR_LIMIT, KVD_LIMIT | {"source": "a"}]]
)
def test_psnr_alone_does_not_gate_generated_videos(found):
    with pytest.raises(ValidationError, match="no limit without one on a distance"):
        limits(generation=found)


def test_psnr_of_videos_is_no_more_allowed_among_the_absolute_limits():
    alone = PSNR_LIMIT | {"method": "dmd"}
    with pytest.raises(ValidationError, match="no limit without one on a distance"):
        limits(absolute=[alone])
    assert limits(absolute=[alone], generation=[KVD_LIMIT]).limits


def test_psnr_beside_a_distance_may_gate_generated_videos():
    assert len(limits(generation=[PSNR_LIMIT, KVD_LIMIT]).generation) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max": 3.0}, "give one of"),
        ({"better_than": None}, "give one of"),
        ({"better_than": None, "max": 3.0, "margin": 1.0}, "a margin is over better_than"),
        ({"better_than": "bidirectional"}, "better_than"),
        ({"region": "dynamic"}, "videos have no region"),
    ],
)
def test_a_limit_on_videos_asks_one_question(change, message):
    with pytest.raises(ValidationError, match=message):
        limits(generation=[KVD_LIMIT | change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "give one of min, max and max_drop"),
        ({"min": 1.0, "max_drop": 1.0}, "give one of min, max and max_drop"),
        ({"min": 1.0, "region": "dynamic"}, "slices are of whole images"),
        ({"min": 1.0, "slice": "=night"}, "pattern"),
        ({"min": 1.0, "min_clips": 0}, "min_clips"),
    ],
)
def test_a_limit_on_a_slice_asks_one_question(change, message):
    with pytest.raises(ValidationError, match=message):
        limits(slices=[PSNR | {"slice": "light"} | change])


def test_a_slice_may_have_a_bound_and_a_margin_but_no_limit_twice():
    both = [PSNR | {"slice": "light", "min": 1.0}, PSNR | {"slice": "light", "max_drop": 1.0}]
    assert len(limits(slices=both).slices) == 2
    with pytest.raises(ValidationError, match="slices: two limits"):
        limits(slices=[*both, PSNR | {"slice": "light", "min": 2.0}])
    with pytest.raises(ValidationError, match="generation: two limits"):
        limits(generation=[KVD_LIMIT, KVD_LIMIT | {"margin": 1.0}])
