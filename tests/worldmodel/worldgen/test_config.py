"""Configs that contradict themselves are refused with the reason."""

import pytest
from pydantic import BaseModel

from worldmodel.worldgen.config import DmdTraining, NoiseConfig, OdeTraining, RolloutConfig


@pytest.mark.parametrize(
    ("config", "wrong", "message"),
    [
        (NoiseConfig, {"few_steps": (0.9, 0.5)}, "must fall from 1"),
        (NoiseConfig, {"few_steps": (1.0, 0.5, 0.5)}, "must fall from 1"),
        (NoiseConfig, {"few_steps": (1.0, 0.0)}, "stay above 0"),
        (DmdTraining, {"lowest": 0.9, "highest": 0.5}, "lowest 0.9 must be below highest 0.5"),
        (OdeTraining, {"drop": {"tags": 0.1}}, "drop must be 0 here"),
        (RolloutConfig, {"methods": ("dmd", "dmd")}, "named twice"),
        (DmdTraining, {"steps": 10}, "warmup 30 must be shorter than steps 10"),
    ],
)
def test_contradictions_are_refused(config: type[BaseModel], wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.model_validate(wrong)
