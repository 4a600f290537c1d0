from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from evaluation.extractors.i3d import I3D
from evaluation.extractors.weights import I3D_K400, LPIPS_ALEX, LPIPS_VGG, load_tensors


@pytest.fixture(scope="session")
def tensors() -> dict[str, Tensor]:
    """I3D's weights, which `make setup` fetches; without them the error names the command."""
    return load_tensors(I3D_K400)


@pytest.fixture(scope="session")
def network(tensors: dict[str, Tensor]) -> I3D:
    """The Kinetics-400 network."""
    return I3D(tensors)


@cache
def lpips_tensors(net: str) -> dict[str, Tensor]:
    return load_tensors({"alex": LPIPS_ALEX, "vgg": LPIPS_VGG}[net])


def noisy_pair(count: int, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Random images and the same with noise of up to 40 of 255."""
    draw = np.random.default_rng(height)
    images = draw.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    noisy = np.clip(images.astype(int) + draw.integers(-40, 41, images.shape), 0, 255).astype(np.uint8)
    return images, noisy
