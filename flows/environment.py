"""The environment that the platform and its stages run in: where state lives, quiet packages, default servers.

Everything is a default: a variable that is already set stays as it is, which is how a run moves from the embedded
SQLite stores to real servers (`PREFECT_API_URL`, `MLFLOW_TRACKING_URI`) unchanged.
"""

import os
import re
import sys
from pathlib import Path

from evaluation.extractors.weights import DIRECTORY_VARIABLE, weights_directory
from flows.signing.keys import SECRET_VARIABLES

STATE_VARIABLE = "WORLDMODEL_STATE"
# of the driver alone: keys, and the addresses of stores, which may hold a password
DRIVERS_OWN = (
    *SECRET_VARIABLES,
    *("WORLDMODEL_LEDGER_URL", "WORLDMODEL_LINEAGE_URL", "PGPASSWORD", "PGPASSFILE"),
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    *("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_API_DATABASE_CONNECTION_URL"),
)


def state_dir(checkout: Path) -> Path:
    """Where the platform keeps what is no one's source: `$WORLDMODEL_STATE`, else `.worldmodel` in the checkout."""
    return Path(os.environ.get(STATE_VARIABLE) or checkout / ".worldmodel").absolute()


def telemetry_off() -> dict[str, str]:
    """Switches that keep every package from calling home. MLflow compares DO_NOT_TRACK with the word `true`."""
    return {
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def defaults(state: Path) -> dict[str, str]:
    """What the driver's own process gets where nothing else is set."""
    return {
        **telemetry_off(),
        "MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "PREFECT_HOME": str(state / "prefect"),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the run says what happened; logs go to the server
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        STATE_VARIABLE: str(state),
    }


def apply_defaults(state: Path) -> None:
    """Fills in `os.environ`; call it before prefect, mlflow or great_expectations is imported."""
    for name, value in defaults(state).items():
        os.environ.setdefault(name, value)


def shown_address(url: str) -> str:
    """The address of a server without the user and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", url)


def stage_environment(state: Path) -> dict[str, str]:
    """What DVC and the stages get: this interpreter first on the path, one shell, no bytecode there, no key."""
    environment = {**os.environ, **telemetry_off(), STATE_VARIABLE: str(state)}
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", *DRIVERS_OWN):
        environment.pop(name, None)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment["SHELL"] = "/bin/sh"  # DVC runs commands with it
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["DVC_SITE_CACHE_DIR"] = str(state / "dvc")
    if os.environ.get(DIRECTORY_VARIABLE):  # a stage runs in another directory
        environment[DIRECTORY_VARIABLE] = str(weights_directory())
    return environment
