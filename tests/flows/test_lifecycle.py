"""What is tried again, and what is not."""

import pytest
import requests
from mlflow.exceptions import MlflowException

from flows import registry
from flows.lifecycle import _metric_rows, mendable
from tests.evaluation.conftest import build_report
from tests.evaluation.videos import video_group
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


def test_prefects_table_has_reconstruction_and_every_methods_videos() -> None:
    report = build_report(synthetic={"image/psnr": [20.0]}).model_copy(update={"generation": (video_group("fleet"),)})
    rows = [tuple(row.values()) for row in _metric_rows(report)]
    assert rows[0] == ("synthetic/test", "reconstruction", "image/psnr", "all", 20.0, 1)
    assert ("fleet/test", "dmd", "video/kvd-tok@i3d-k400", "all", 40.0, 8) in rows and len(rows) == 4
