from typing import Any

import pytest
from pydantic import ValidationError

from flows.checks.config import ValidateConfig

MINIMAL: dict[str, Any] = {"licences": ["CC0-1.0"], "min_clips": {"train": 1}, "clips_per_stratum": 2}


def test_the_licences_the_clips_and_the_sample_must_be_named_and_the_rest_has_defaults() -> None:
    config = ValidateConfig.model_validate(MINIMAL)
    assert config.max_depth_error < config.max_lidar_depth_error
    for name in MINIMAL:
        with pytest.raises(ValidationError, match=name):
            ValidateConfig.model_validate({key: value for key, value in MINIMAL.items() if key != name})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_hz": [30, 10]}, r"rate_hz: the lowest must be below the highest"),
        ({"min_clips": {"train": 0}}, r"min_clips.train: at least 1"),
        ({"min_clips": {"train": 1, "dev": 1}}, r"min_clips.dev"),
        ({"licences": []}, r"licences"),
        ({"max_time_gap": 0.5}, r"max_time_gap"),
        ({"max_depht_error": 0.1}, r"max_depht_error"),
    ],
)
def test_a_wrong_value_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ValidateConfig.model_validate(MINIMAL | change)
