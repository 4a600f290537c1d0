"""Rare sources are seen often enough."""

import numpy as np
import pytest

from worldmodel.training.sources import clip_weights


def test_rare_sources_get_their_share() -> None:
    weights = clip_weights(["big"] * 30 + ["rare"], 0.1)
    assert weights[-1] == pytest.approx(0.1)
    assert weights.sum() == pytest.approx(1.0)
    assert np.ptp(weights[:30]) < 1e-12


def test_sources_with_enough_clips_are_sampled_uniformly() -> None:
    assert clip_weights(["a", "a", "b"], 0.1) == pytest.approx([1 / 3] * 3)
    assert clip_weights(["a"] * 99 + ["b"], 0.5).sum() == pytest.approx(1.0)
