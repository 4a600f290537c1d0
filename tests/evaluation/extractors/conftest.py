import pytest
from torch import Tensor

from evaluation.extractors.i3d import I3D
from evaluation.extractors.weights import I3D_K400, load_tensors


@pytest.fixture(scope="session")
def tensors() -> dict[str, Tensor]:
    """I3D's weights, which `make setup` fetches; without them the error names the command."""
    return load_tensors(I3D_K400)


@pytest.fixture(scope="session")
def network(tensors: dict[str, Tensor]) -> I3D:
    """The Kinetics-400 network."""
    return I3D(tensors)
