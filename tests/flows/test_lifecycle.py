"""What is tried again, and what is not."""

import pytest
import requests
from mlflow.exceptions import MlflowException

from flows import registry
from flows.lifecycle import mendable
from worldmodel.errors import Preempted, RegistryError, RemoteError, StageError, WorkspaceError


class Failed:
    """A Prefect state, as far as the condition looks at one."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def result(self) -> None:
        raise self.error


def wrapped_connection_error() -> BaseException:
    """What reaches the task when MLflow's server goes away."""
    try:
        with registry.asking():
            try:
                raise requests.ConnectionError("refused")
            except requests.ConnectionError as error:
                raise MlflowException("API request failed") from error
    except RegistryError as error:
        return error
    raise AssertionError("asking() let the error through")


@pytest.mark.parametrize(
    "error", [Preempted("one"), RemoteError("full"), ConnectionError(), TimeoutError(), wrapped_connection_error()]
)
def test_preemption_lost_connections_and_full_remotes_are_tried_again(error: BaseException) -> None:
    assert mendable(None, None, Failed(error))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [StageError("bad"), WorkspaceError("disk"), RegistryError("changed"), ValueError(), KeyboardInterrupt()]
)
def test_everything_else_is_not(error: BaseException) -> None:
    assert not mendable(None, None, Failed(error))  # type: ignore[arg-type]
