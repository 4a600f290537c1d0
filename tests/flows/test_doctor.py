import importlib.metadata
import io
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from evaluation.extractors.weights import WEIGHTS
from flows import doctor
from flows.doctor import Check, checks_table, diagnose
from flows.environment import telemetry_off


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def install(site: Path, name: str, version: str) -> None:
    """A package's metadata, which is all that doctor looks at."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site-packages that comes before the real one."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    return folder


def program(folder: Path, name: str, says: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def test_everything_is_looked_at_and_each_trouble_has_a_way_out(tmp_path: Path) -> None:
    checks = diagnose(tmp_path)
    assert {"python", "packages", "known bad", "disk", "port 4200", "port 5000", "cuda", "git", "kubectl"} <= set(
        by_name(checks)
    )
    assert all(bool(check.fix) == (check.status != "ok") for check in checks)
    assert json.loads(json.dumps([asdict(check) for check in checks]))[0].keys() == {"name", "status", "found", "fix"}


def test_it_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from flows.doctor import diagnose; diagnose(); print(*sys.modules)"
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert not {"torch", "numpy", "pandas", "prefect", "mlflow", "lightning", "dvc"} & set(loaded.stdout.split())
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 2


def test_the_table_fits_80_columns_and_shows_the_way_out() -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    long = Check("port 4200", "warn", "held by pid 7 (" + "x" * 100 + ") [a]", "worldmodel up --prefect-port N")
    console.print(checks_table([Check("git", "ok", "2.39"), long]))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "→ worldmodel up --prefect-port N" in text
    assert "[a]" in text


def test_prefect_38_with_a_fastapi_that_breaks_its_server_is_a_failure(site: Path) -> None:
    install(site, "prefect", "3.8.8")
    install(site, "fastapi", "0.151.0")
    (check,) = [check for check in doctor._known_bad() if check.status == "fail"]
    assert "fastapi 0.151.0" in check.found
    assert "fastapi>=0.139,<0.151" in check.fix


def test_prefect_39_may_have_it(site: Path) -> None:
    install(site, "prefect", "3.9.1")
    install(site, "fastapi", "0.151.0")
    assert [check.status for check in doctor._known_bad()] == ["ok"]


@pytest.mark.parametrize(
    ("version", "payload", "bad"), [("2.6.3", False, True), ("2.6.6", True, True), ("2.6.6", False, False)]
)
def test_the_malicious_lightning_is_known_by_its_version_and_by_its_payload(
    version: str, payload: bool, bad: bool, site: Path
) -> None:
    install(site, "lightning", version)
    if payload:
        (site / "lightning" / "_runtime").mkdir(parents=True)
    statuses = [check.status for check in doctor._known_bad()]
    assert statuses == (["fail"] if bad else ["ok"])


def test_a_package_out_of_range_is_named_with_the_range(site: Path) -> None:
    install(site, "dvc", "2.0.0")
    found = by_name(doctor._packages())
    assert found["dvc"].status == "fail"
    assert found["dvc"].found.startswith("2.0.0, ") and ">=3.67.1" in found["dvc"].found


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "mlflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = by_name(doctor._packages())
    assert found["mlflow"].found.startswith("missing")
    assert "make setup" in found["mlflow"].fix


def test_an_old_git_fails_an_old_kubectl_warns_and_what_is_optional_may_be_absent(programs: Path) -> None:
    assert doctor._git().status == "fail"
    assert doctor._kubectl().status == "ok"
    assert doctor._cuda().status == "ok"
    assert doctor._compiler().status == "warn"
    program(programs, "git", "git version 2.17.1")
    program(programs, "kubectl", "Client Version: v1.20.2")
    program(programs, "c++", "c++ (Debian 12.2.0) 12.2.0")
    assert doctor._git().status == "fail"
    assert doctor._kubectl().status == "warn"
    assert doctor._compiler() == Check("c++ compiler", "ok", "c++ (Debian 12.2.0) 12.2.0")


def test_a_gpu_without_gsplat_is_a_warning(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "nvidia-smi", "NVIDIA L4, 23034 MiB, 560.35")
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    assert doctor._cuda().status == "warn"
    monkeypatch.setattr(doctor, "installed", lambda name: "1.5.3")
    assert doctor._cuda() == Check("cuda", "ok", "NVIDIA L4, 23034 MiB, 560.35")


def test_a_program_that_hangs_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PROGRAM_TIMEOUT_S", 0.2)
    (programs / "nvidia-smi").write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    (programs / "nvidia-smi").chmod(0o755)
    began = time.monotonic()
    assert doctor._cuda().status == "ok"
    assert time.monotonic() - began < 5


def test_little_disk_warns_and_none_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "not" / "there" / "yet"
    assert doctor._disk(deep).status == "ok"
    for least, status in ((1e6, "warn"), (1e9, "fail")):
        monkeypatch.setitem(doctor.FREE_GIB, status, least)  # type: ignore[arg-type]
        assert doctor._disk(deep).status == status
    assert not deep.exists()


def test_a_port_in_use_names_its_holder() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = int(listener.getsockname()[1])
        check = doctor._port(port, "mlflow")
    assert check.status == "warn"
    assert f"pid {os.getpid()}" in check.found
    assert doctor._port(port, "mlflow").status == "ok"


@pytest.fixture
def healthy_server() -> Iterator[str]:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_a_named_server_must_answer(healthy_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", healthy_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    prefect, mlflow = doctor._servers()
    assert (prefect.status, prefect.found) == ("ok", f"{healthy_server} answers")
    assert mlflow.status == "fail"
    assert "MLFLOW_TRACKING_URI" in mlflow.fix


def test_no_server_and_a_local_store_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert [check.status for check in doctor._servers()] == ["ok", "ok"]


def test_telemetry_that_somebody_switched_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in telemetry_off():
        monkeypatch.delenv(name, raising=False)
    assert doctor._telemetry().status == "ok"
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    check = doctor._telemetry()
    assert (check.status, check.fix) == ("warn", "unset DO_NOT_TRACK")


def test_weights_of_the_metrics_that_are_missing_name_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor._metric_weights().status == "ok"
    monkeypatch.setenv("WORLDMODEL_METRICS_WEIGHTS", str(tmp_path))
    check = doctor._metric_weights()
    assert (check.status, check.found) == ("fail", f"{', '.join(WEIGHTS)} missing or damaged in {tmp_path}")
    assert check.fix.startswith("worldmodel metrics fetch-weights")
