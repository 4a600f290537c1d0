"""Versions in the registry by what people call them, and their parts back on disk."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flows.bundle import PARTS, Part, bundle_digest
from flows.manifest import MANIFEST_FILE, read_manifest, write_manifest
from flows.registry import DIGEST_TAG, REPORT_RUN_TAG
from worldmodel.data.atomic import atomic_directory
from worldmodel.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PART_TAG, RUN_TAG = "worldmodel.sha256.", "worldmodel.run_id"
_SPEC = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?:/(?P<version>\d+)|@(?P<alias>[A-Za-z0-9_.-]+))?")


@dataclass(frozen=True)
class Registered:
    """One version of a model.

    Attributes:
        sha256: digest of its bundle.
        parts: the names of the parts that it holds.
        run_id: the run that made it, by its id among our runs.
        report_run: the MLflow run that holds that run's report.
    """

    name: str
    version: str
    sha256: str
    parts: tuple[str, ...]
    run_id: str
    report_run: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


def find(client: "MlflowClient", spec: str) -> Registered:
    """The version that `NAME`, `NAME/3` or `NAME@champion` stands for; a name alone is its newest version.

    Raises:
        RegistryError: there is no such name, version or alias, or the version is none of ours; says what there is.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise RegistryError(f"{spec}: not the name of a model", expected="NAME, NAME/VERSION or NAME@ALIAS", got=spec)
    name, version, alias = match["name"], match["version"], match["alias"]
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda found: int(found.version))
    if not versions:
        known = sorted(model.name for model in client.search_registered_models())
        raise RegistryError(f"{spec}: no such model", expected=" or ".join(known) or "none yet", got=name)
    if alias is not None:
        aliases = dict(client.get_registered_model(name).aliases)
        if alias not in aliases:
            had = " or ".join(sorted(aliases)) or "none"
            raise RegistryError(f"{spec}: {name} has no such alias", expected=had, got=alias)
        version = str(aliases[alias])
    chosen = versions[-1] if version is None else _numbered(versions, spec, version)
    return _ours(chosen)


def _numbered(versions: "list[ModelVersion]", spec: str, version: str) -> "ModelVersion":
    for found in versions:
        if str(found.version) == version:
            return found
    there = " or ".join(str(found.version) for found in versions)
    raise RegistryError(f"{spec}: no such version", expected=there, got=version)


def _ours(found: "ModelVersion") -> Registered:
    tags = found.tags
    for tag in (DIGEST_TAG, RUN_TAG):
        if not tags.get(tag):
            what = f"{found.name} version {found.version}: not registered by `worldmodel run`"
            raise RegistryError(what, expected=f"a tag {tag}", got=", ".join(sorted(tags)) or "no tags")
    parts = tuple(part.name for part in PARTS if f"{PART_TAG}{part.name}" in tags)
    report_run = tags.get(REPORT_RUN_TAG) or str(found.run_id)
    return Registered(str(found.name), str(found.version), tags[DIGEST_TAG], parts, tags[RUN_TAG], report_run)


def fetch(model: Registered, into: Path, download: Callable[[Registered, Path], Path] | None = None) -> None:
    """Lays a version's parts out as `<stage>/<folder>`, each stage with a manifest, and checks all of their bytes.

    Args:
        model: the version.
        into: becomes the folder; an old one is replaced.
        download: puts what the version holds into a folder and returns where; by default MLflow does.

    Raises:
        RegistryError: a part is missing, or not what was registered.
    """
    with TemporaryDirectory() as scratch, atomic_directory(into) as aside:
        held = (download or _download)(model, Path(scratch))
        for part in PARTS:
            if part.name in model.parts:
                _lay_out(model, part, held / Path(part.folder or part.stage).name, aside)
        found = bundle_digest(aside)
        if found != model.sha256:
            raise _damaged(model, f"sha256 {model.sha256}", found)


def _download(model: Registered, scratch: Path) -> Path:
    import mlflow

    uri = f"models:/{model.name}/{model.version}/artifacts"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(scratch)))


def _lay_out(model: Registered, part: Part, held: Path, into: Path) -> None:
    if not held.is_dir():
        raise _damaged(model, f"a folder {held.name} with its {part.name}", "none")
    target = into / part.stage
    shutil.copytree(held, target / part.folder, dirs_exist_ok=True)
    if not (target / MANIFEST_FILE).is_file():
        write_manifest(target, part.stage)
        return
    said = read_manifest(target)["files"]
    there = write_manifest(target, part.stage)["files"]
    if there != said:
        differ = sorted(name for name in {*said, *there} if said.get(name) != there.get(name))
        raise _damaged(model, f"the files of {part.name} as its manifest has them", f"others: {', '.join(differ)}")


def _damaged(model: Registered, expected: str, got: str) -> RegistryError:
    fix = f"restore MLflow's artifacts of {model}; or run again what made it ({model.run_id}) and register that"
    return RegistryError(
        f"{model}: what the registry holds is not what was registered", expected=expected, got=got, fix=fix
    )
