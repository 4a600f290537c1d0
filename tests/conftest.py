"""For all tests: a configuration folder of their own, so that no run signs with this user's key, or makes one."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(scope="session", autouse=True)
def configuration() -> Iterator[None]:
    """`XDG_CONFIG_HOME` of this process and of every one that it starts."""
    with TemporaryDirectory(prefix="worldmodel-config-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", folder)
        yield
