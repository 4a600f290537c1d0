"""What a stage runs in: interpreter, packages, machine, image. Facts that can change a result, and nothing private.

No host names, paths or users: equal surroundings have equal facts, and so one digest, on any machine.
"""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import evaluation
from flows.manifest import digest, file_sha256
from flows.speed import processor

IMAGE_VARIABLE = "WORLDMODEL_IMAGE"
PINS = ("requirements/lock.txt", "requirements/torch.txt")
_NVIDIA = Path("/proc/driver/nvidia")


def surroundings(workspace: Path, threads: int) -> dict[str, str]:
    """Flat facts; what is not there (an accelerator, an image, a file of pins) is left out.

    Args:
        workspace: whose `requirements/` the packages should follow.
        threads: how many the stages may use.
    """
    packages = installed_packages()
    known = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": " ".join([platform.system(), platform.machine(), *platform.libc_ver()]).strip(),
        "processor": processor().rpartition(",")[0],
        "cores": str(os.cpu_count()),
        "threads": str(threads),
        "packages": digest(packages),
        "gate": gate_code(),
        "image": os.environ.get(IMAGE_VARIABLE, ""),
        **{name: packages.get(name, "") for name in ("worldmodel", "torch")},
        **_accelerators(packages),
        **{name: file_sha256(workspace / name) for name in PINS if (workspace / name).is_file()},
    }
    return {name: value for name, value in sorted(known.items()) if value}


def gate_code() -> str:
    """sha256 over the source of the rules that decide: other rules may decide otherwise about the same inputs."""
    folder = Path(str(evaluation.__file__)).parent
    return digest({path.name: file_sha256(path) for path in sorted(folder.glob("gate*.py"))})


def installed_packages() -> dict[str, str]:
    """Every installed package with its version."""
    found = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}
    return dict(sorted(found.items()))


def _accelerators(packages: Mapping[str, str]) -> dict[str, str]:
    """CUDA's runtime as a package, NVIDIA's driver, and the accelerators that it drives."""
    runtimes = [version for name, version in packages.items() if name.startswith("nvidia-cuda-runtime")]
    version = _field(_NVIDIA / "version", "NVRM version")
    models = [_field(path, "Model") for path in sorted(_NVIDIA.glob("gpus/*/information"))]
    return {"cuda": ", ".join(runtimes), "gpu_driver": version, "accelerators": ", ".join(models)}


def _field(path: Path, name: str) -> str:
    """The value after `name:` in a file of such lines; empty where there is none."""
    rows = [line.partition(":") for line in path.read_text().splitlines()] if path.is_file() else []
    return next((value.strip() for key, _, value in rows if key.strip() == name), "")
