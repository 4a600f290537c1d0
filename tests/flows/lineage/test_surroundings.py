"""What a stage runs in: what can change a result, and nothing that says whose machine it is."""

import getpass
import hashlib
import platform
from pathlib import Path

import pytest

from flows.lineage import surroundings as module
from flows.lineage.surroundings import installed_packages, surroundings


def test_they_say_what_can_change_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_IMAGE", "registry.example/worldmodel@sha256:00")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "lock.txt").write_text("numpy==2\n")
    found = surroundings(tmp_path, threads=3)
    assert found["python"] == platform.python_version() and found["threads"] == "3" and int(found["cores"]) >= 1
    assert found["torch"] == installed_packages()["torch"] and found["processor"]
    assert found["requirements/lock.txt"] == hashlib.sha256(b"numpy==2\n").hexdigest()
    assert found["image"] == "registry.example/worldmodel@sha256:00"
    assert list(found) == sorted(found)


def test_what_is_not_there_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDMODEL_IMAGE", raising=False)
    monkeypatch.setattr(module, "_NVIDIA", tmp_path)
    monkeypatch.setattr(module, "installed_packages", lambda: {"numpy": "2.4.6"})
    found = surroundings(tmp_path, threads=1)
    assert not {"image", "torch", "cuda", "gpu_driver", "accelerators", "requirements/lock.txt"} & set(found)


def test_accelerators_are_told_with_their_driver_and_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("0", "1"):
        place = tmp_path / "gpus" / number / "information"
        place.parent.mkdir(parents=True)
        place.write_text("Model: \t\t NVIDIA H100\nIRQ:   42\n")
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1\nGCC version: 12\n")
    monkeypatch.setattr(module, "_NVIDIA", tmp_path)
    monkeypatch.setattr(module, "installed_packages", lambda: {"nvidia-cuda-runtime-cu12": "12.8.90"})
    found = surroundings(tmp_path, threads=1)
    assert found["accelerators"] == "NVIDIA H100, NVIDIA H100" and found["cuda"] == "12.8.90"
    assert found["gpu_driver"] == "NVIDIA UNIX x86_64 Kernel Module  570.1"


def test_another_package_gives_other_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = surroundings(tmp_path, threads=1)
    assert surroundings(tmp_path, threads=1) == before
    packages = installed_packages()
    monkeypatch.setattr(module, "installed_packages", lambda: packages | {"numpy": "0.0.1"})
    after = surroundings(tmp_path, threads=1)
    assert {name for name in after if after[name] != before[name]} == {"packages"}


def test_they_name_no_host_no_user_and_no_path(tmp_path: Path) -> None:
    values = surroundings(tmp_path, threads=1).values()
    for private in (platform.node(), str(tmp_path), str(Path.home())):
        assert not [value for value in values if private in value]
    assert getpass.getuser() not in " ".join(values).split()
