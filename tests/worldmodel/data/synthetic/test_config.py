import subprocess
import sys
from itertools import pairwise

import pytest
from pydantic import ValidationError

from worldmodel.data.synthetic.config import FRONT_CAMERAS, SURROUND_CAMERAS, SyntheticCamera, SyntheticConfig


def test_the_default_rig_is_three_overlapping_cameras() -> None:
    assert [camera.name for camera in SyntheticConfig().cameras] == ["front_left", "front", "front_right"]
    for left, right in pairwise(FRONT_CAMERAS):
        assert left.yaw_deg - right.yaw_deg < (left.hfov_deg + right.hfov_deg) / 2


def test_two_cameras_of_one_name_are_refused() -> None:
    twice = (SyntheticCamera(name="front", yaw_deg=0), SyntheticCamera(name="front", yaw_deg=10))
    with pytest.raises(ValidationError, match="names must differ"):
        SyntheticConfig(cameras=twice)


def test_unknown_keys_and_values_are_refused() -> None:
    with pytest.raises(ValidationError):
        SyntheticConfig.model_validate({"log": 3})
    with pytest.raises(ValidationError):
        SyntheticConfig.model_validate({"weathers": ["snow"]})
    with pytest.raises(ValidationError):
        SyntheticCamera(name="front.left", yaw_deg=0)


def test_a_config_survives_a_round_trip_through_json() -> None:
    config = SyntheticConfig(cameras=SURROUND_CAMERAS, frames=5)
    assert SyntheticConfig.model_validate_json(config.model_dump_json()) == config


def test_importing_the_config_does_not_import_numpy() -> None:
    code = "import sys, worldmodel.data.synthetic.config; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
