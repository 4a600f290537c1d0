"""Clips of the toy world, a network with every part and a short run."""

from collections.abc import Iterator

import pytest
import torch

from tests.worldmodel.worldrec.toy import make_clip
from worldmodel.data.schema import Clip
from worldmodel.worldrec.config import LatticeConfig, TrainConfig, WorldRecConfig
from worldmodel.worldrec.views import ClipTensors


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def clip() -> Clip:
    return make_clip()


@pytest.fixture(scope="session")
def clips(clip: Clip) -> list[ClipTensors]:
    """Two clips of the toy world, and one of another source with three cameras and three frames."""
    others = [make_clip("other", seed=1), make_clip("short", frames=3, cameras=3, source="recorded", seed=2)]
    return [ClipTensors.from_clip(c, range(len(c.times_s))) for c in (clip, *others)]


@pytest.fixture(scope="session")
def small() -> WorldRecConfig:
    """A network that runs in milliseconds and has every part."""
    return WorldRecConfig(
        channels=(8, 16),
        width=16,
        grid=2,
        rounds=2,
        hypotheses=3,
        matching=4,
        groups=2,
        motion_tokens=2,
        depth_bins=8,
        sky_width=8,
        lattice=LatticeConfig(azimuths=6, pitches=2, shells=2),
    )


@pytest.fixture(scope="session")
def short_run() -> TrainConfig:
    return TrainConfig(
        steps=12, warmup=2, targets=2, checkpoint_every=4, validate_every=6, log_every=3, validation_clips=1
    )
