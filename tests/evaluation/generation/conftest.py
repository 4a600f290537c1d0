from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.generation.rollouts import Rollouts
from evaluation.suite import Measured
from tests.evaluation.generation.toy import clips, open_rollouts, write_rollouts


@pytest.fixture(scope="session")
def six(write_measured: Callable[..., Measured], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Prepared data of six test logs and five training logs; do not write into it."""
    return write_measured(tmp_path_factory.mktemp("six"), *clips(6, 5))


@pytest.fixture
def root(six: Measured, tmp_path: Path) -> Path:
    """Rollouts of `six`, to break."""
    return write_rollouts(tmp_path / "rollout", six.prepare)


@pytest.fixture
def rollouts(six: Measured, root: Path) -> Rollouts:
    return open_rollouts(root, six.prepare)
