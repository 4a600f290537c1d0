"""The MLflow side of registration and promotion: versions, and the aliases that say who serves.

A version holds the parts of one world model (`flows.bundle`) and is keyed by their digest: registering the same model
again finds the version that is there. `challenger` is the newest proposed, `champion` serves.
MLflow keeps no history of aliases and moves them without asking: `flows.promotion` does so under the ledger's lock.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from flows.bundle import bundle_folders
from worldmodel.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST_TAG, REPORT_RUN_TAG = "worldmodel.model_sha256", "worldmodel.report_run"
_SERVING_PACKAGES = ("diffusers", "mlflow", "numpy", "pydantic", "safetensors", "torch")


@dataclass(frozen=True)
class Champion:
    """The version that serves, the digest of its bundle, and the MLflow run that holds its report."""

    version: str
    sha256: str
    report_run: str


def champion(client: "MlflowClient", name: str) -> Champion | None:
    """The version of a registered model under the alias `champion`, or None when there is none yet."""
    found = _by_alias(client, name, CHAMPION)
    if found is None:
        return None
    tags = found.tags
    return Champion(str(found.version), tags.get(DIGEST_TAG, ""), tags.get(REPORT_RUN_TAG) or str(found.run_id))


@dataclass(frozen=True)
class Candidate:
    """A world model to register.

    Attributes:
        name: of the registered model.
        sha256: digest of the bundle.
        workspace: of the run that trained it.
        run_id: the MLflow run that holds its report.
        tags: what the version says of where it came from.
    """

    name: str
    sha256: str
    workspace: Path
    run_id: str
    tags: dict[str, str]


def propose(client: "MlflowClient", name: str, version: str) -> None:
    """Puts the alias `challenger` on a version that is not champion."""
    if version != _alias_version(client, name, CHAMPION):
        client.set_registered_model_alias(name, CHALLENGER, version)


def find_version(client: "MlflowClient", name: str, sha256: str) -> str | None:
    """The number of the version with this bundle, or None."""
    query = f"name = '{name}' and tags.`{DIGEST_TAG}` = '{sha256}'"
    found = client.search_model_versions(query, max_results=1)
    return str(found[0].version) if found else None


def create_version(client: "MlflowClient", candidate: Candidate) -> str:
    """Makes a version of a bundle, and the model if it is the first; returns its number.

    It is packed from the workspace: its parts, `flows/serving.py` and the package `worldmodel` as they were there.
    """
    from mlflow.exceptions import MlflowException

    model_id = _log_model(candidate)
    try:
        client.create_registered_model(candidate.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {DIGEST_TAG: candidate.sha256, REPORT_RUN_TAG: candidate.run_id, "worldmodel.model_id": model_id}
    source = f"models:/{model_id}"
    created = client.create_model_version(candidate.name, source, candidate.run_id, tags={**candidate.tags, **tags})
    return str(created.version)


def has_model(client: "MlflowClient", name: str) -> bool:
    """Whether the registry has a model of this name."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def digest_of(client: "MlflowClient", name: str, version: str) -> str:
    """The digest of the bundle that a version says it holds.

    Raises:
        RegistryError: there is no such version.
    """
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version(name, version).tags.get(DIGEST_TAG, ""))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise RegistryError(f"the registry has no version {version} of {name}", got=str(error)[:200]) from None


def move_champion(client: "MlflowClient", name: str, version: str) -> None:
    """Moves the alias `champion` wherever it stands; a champion is no challenger any more."""
    client.set_registered_model_alias(name, CHAMPION, version)
    drop_challenger(client, name, version)


def drop_challenger(client: "MlflowClient", name: str, version: str) -> None:
    """Removes the alias `challenger` from this version, if it stands there."""
    if _alias_version(client, name, CHALLENGER) == version:
        client.delete_registered_model_alias(name, CHALLENGER)


@contextmanager
def asking() -> Iterator[None]:
    """Turns what MLflow raises into an error with a way out, which keeps the cause.

    Raises:
        RegistryError: MLflow does not answer, or refuses.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, requests.RequestException) as error:
        fix = "worldmodel doctor; then run again: finished stages stay"
        raise RegistryError("the model registry does not do what it should", got=str(error)[:500], fix=fix) from error


def _log_model(candidate: Candidate) -> str:
    from importlib.metadata import version

    import mlflow

    workspace = candidate.workspace
    folders = bundle_folders(workspace / "artifacts")
    advice = warnings.catch_warnings(record=True)  # MLflow's, about type hints; the signature below is explicit
    with advice, mlflow.start_run(run_id=candidate.run_id, nested=True):
        info = mlflow.pyfunc.log_model(
            name=candidate.name,
            python_model=str(workspace / "flows" / "serving.py"),
            artifacts={name: str(folder) for name, folder in folders.items()},
            code_paths=[str(workspace / "worldmodel")],
            pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in _SERVING_PACKAGES],
            signature=_generates() if "worldgen" in folders else _reconstructs(),
        )
    return str(info.model_id)


def _generates() -> "ModelSignature":
    """What `flows.serving` takes and gives when it generates: T frames, without a prior."""
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec

    inputs = _schema(first_frame=("uint8", (-1, -1, 3)), layout=("uint8", (-1, -1, -1, 3)))
    tags = [ParamSpec(name, DataType.string, "") for name in ("weather", "time_of_day")]
    params = ParamSchema([ParamSpec("seed", DataType.long, 0), *tags])
    return ModelSignature(inputs, _schema(rgb=("uint8", (-1, -1, -1, 3))), params)


def _reconstructs() -> "ModelSignature":
    """What `flows.serving` takes and gives without WorldGen: S context images, F target views."""
    from mlflow.models import ModelSignature

    poses, matrices, times = ("float64", (-1, 4, 4)), ("float64", (-1, 3, 3)), ("float64", (-1,))
    inputs = _schema(
        rgb=("uint8", (-1, -1, -1, 3)),
        Ks=matrices,
        world_from_camera=poses,
        times_s=times,
        world_from_ego=("float64", (4, 4)),
        target_Ks=matrices,
        target_world_from_camera=poses,
        target_times_s=times,
    )
    images = ("float32", (-1, -1, -1))
    return ModelSignature(inputs, _schema(rgb=("uint8", (-1, -1, -1, 3)), depth=images, alpha=images))


def _schema(**specs: tuple[str, tuple[int, ...]]) -> "Schema":
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    return Schema([TensorSpec(np.dtype(kind), shape, name) for name, (kind, shape) in specs.items()])


def _alias_version(client: "MlflowClient", name: str, alias: str) -> str | None:
    found = _by_alias(client, name, alias)
    return None if found is None else str(found.version)


def _by_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_tags(record: Any, parts: dict[str, str]) -> dict[str, str]:
    """What a version says of where it came from and of the weights it holds."""
    return {
        **{f"worldmodel.sha256.{name}": sha256 for name, sha256 in parts.items()},
        "worldmodel.run_id": record.run_id,
        "worldmodel.snapshot": record.snapshot,
        "worldmodel.dirty": str(record.dirty).lower(),
        "worldmodel.profile": record.profile,
    }
