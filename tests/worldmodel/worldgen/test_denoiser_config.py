"""Sizes that cannot work are refused before a network is made."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from worldmodel.worldgen.denoiser_config import DenoiserConfig, LatentSpec


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 100, "heads": 3}, "width 100 over 3 heads"),
        ({"width": 28, "heads": 4}, "even number"),
        ({"frequencies": 7}, "sines and cosines"),
        ({"chunk": 5, "window": 5}, "window 5 must hold"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DenoiserConfig.model_validate(sizes)


def test_a_latent_grid_must_be_whole_tokens() -> None:
    with pytest.raises(ValidationError, match="not a multiple of patch 2"):
        DenoiserConfig().fitted(LatentSpec(grid=(7, 12)))


def test_a_fitted_config_says_nothing_of_where_weights_came_from() -> None:
    fitted = DenoiserConfig(pretrained=Path("/somewhere")).fitted(LatentSpec(grid=(8, 12), stride=8))
    assert "somewhere" not in fitted.model_dump_json()
    assert fitted.tokens == 24
    assert fitted.latents.image_size == (64, 96)
