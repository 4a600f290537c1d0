"""`worldmodel up`: a Prefect server, an MLflow server and a Prefect worker, on loopback, until told to stop.

They work on the same stores that runs without servers use (`<state>/prefect`, `<state>/mlflow.db`,
`<state>/mlartifacts`), so earlier runs are all there. Each runs in a process group of its own under `flows.guard`: none
outlives this process, however it ends. Authentication is left out, because nothing but loopback can reach them.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from flows.environment import telemetry_off
from flows.process import kill_tree
from worldmodel.errors import MissingDependencyError, WorkspaceError

HOST = "127.0.0.1"
POOL = "local"
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Links:
    """Where the servers are; `environment` makes a run use them."""

    prefect: str
    mlflow: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point Prefect and MLflow at these servers."""
        return {"PREFECT_API_URL": f"{self.prefect}/api", "MLFLOW_TRACKING_URI": self.mlflow}


@dataclass(frozen=True)
class _Service:
    name: str
    command: list[str]
    environment: dict[str, str]
    healthy: Callable[[], bool]


def serve(
    state: Path,
    prefect_port: int = 4200,
    mlflow_port: int = 5000,
    *,
    on_ready: Callable[[Links], None],
    say: Callable[[str], None] = print,
) -> None:
    """Starts all three, calls `on_ready` when they answer, and stops them on SIGINT or SIGTERM.

    Call it from the main thread.

    Args:
        state: where the stores and `logs/` are.
        say: told about each step, as one line.

    Raises:
        WorkspaceError: a port is taken; says by whom.
        MissingDependencyError: one did not start or has ended; names its log.
    """
    for name, port in (("prefect", prefect_port), ("mlflow", mlflow_port)):
        _require_free(port, f"--{name}-port")
    for directory in (state / "prefect", state / "mlartifacts", state / "logs"):
        directory.mkdir(parents=True, exist_ok=True)
    links = Links(f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}")
    with _stop_signals() as stop, _Services(state / "logs", say, stop) as services:
        services.start(_prefect_server(state, prefect_port, links), _mlflow_server(state, mlflow_port, links))
        services.start(_prefect_worker(state, links))
        if not stop.is_set():
            on_ready(links)
            services.watch()


def port_holder(port: int) -> str | None:
    """Who listens on a TCP port of this machine; None if nobody does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            return None
        except OSError:
            pass
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process of another user"
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and getattr(connection.laddr, "port", None) == port
            and connection.pid
        ):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                return f"pid {connection.pid} ({' '.join(psutil.Process(connection.pid).cmdline())[:100]})"
    return "a process that this user may not see"


def _require_free(port: int, option: str) -> None:
    holder = port_holder(port)
    if holder is not None:
        raise WorkspaceError(
            f"port {port} is taken", got=f"held by {holder}", fix=f"stop it, or choose another with {option}"
        )


def _environment(state: Path, **more: str) -> dict[str, str]:
    inherited = {name: v for name, v in os.environ.items() if name not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}
    return {**inherited, **telemetry_off(), "PREFECT_HOME": str(state / "prefect"), **more}


def _prefect_server(state: Path, port: int, links: Links) -> _Service:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start", "--host", HOST, "--port", str(port)]
    environment = _environment(state, PREFECT_SERVER_API_HOST=HOST, PREFECT_SERVER_API_PORT=str(port))
    return _Service("prefect-server", command, environment, lambda: _is_healthy(f"{links.prefect}/api/health"))


def _mlflow_server(state: Path, port: int, links: Links) -> _Service:
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{state / 'mlflow.db'}"]
    command += ["--artifacts-destination", (state / "mlartifacts").as_uri()]
    environment = _environment(state, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    return _Service("mlflow-server", command, environment, lambda: _is_healthy(f"{links.mlflow}/health"))


def _prefect_worker(state: Path, links: Links) -> _Service:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", POOL, "--type", "process"]
    environment = _environment(state, **links.environment)
    return _Service("prefect-worker", [*command, "--name", POOL], environment, lambda: _worker_is_online(links))


def _answers(url: str, body: bytes | None = None) -> bytes | None:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def _is_healthy(url: str) -> bool:
    return _answers(url) is not None


def _worker_is_online(links: Links) -> bool:
    answer = _answers(f"{links.prefect}/api/work_pools/{POOL}/workers/filter", b"{}")
    return any(worker["status"] == "ONLINE" for worker in json.loads(answer or b"[]"))


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of what they do otherwise."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Services:
    """The running services; leaving the context stops every one of them, last started first."""

    def __init__(self, logs: Path, say: Callable[[str], None], stop: threading.Event) -> None:
        self.logs, self.say, self.stop = logs, say, stop
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "_Services":
        return self

    def __exit__(self, *_: object) -> None:
        for name, process in reversed(self.processes.items()):
            self.say(f"stopping {name}")
            _end_group(process)

    def start(self, *services: _Service) -> None:
        """Starts services together and returns when all are healthy, or when told to stop."""
        if self.stop.is_set():
            return
        for service in services:
            self.processes[service.name] = _spawn(service, self.log(service.name))
            self.say(f"starting {service.name}")
        waiting, began = list(services), time.monotonic()
        while waiting and not self.stop.is_set():
            self._require_alive()
            for service in [s for s in waiting if s.healthy()]:
                waiting.remove(service)
                self.say(f"{service.name} is up after {time.monotonic() - began:.0f} s")
            if waiting and time.monotonic() - began > START_TIMEOUT_S:
                raise self._failure(waiting[0].name, f"did not answer within {START_TIMEOUT_S:.0f} s")
            self.stop.wait(_POLL_S)

    def watch(self) -> None:
        """Returns when told to stop."""
        while not self.stop.wait(_POLL_S):
            self._require_alive()

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _require_alive(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise self._failure(name, f"ended with exit code {process.returncode}")

    def _failure(self, name: str, how: str) -> MissingDependencyError:
        lines = self.log(name).read_text(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "")
        return MissingDependencyError(f"{name} {how}", got=last[:200], fix=f"worldmodel doctor; log: {self.log(name)}")


def _spawn(service: _Service, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.guard", *service.command],
            env=service.environment,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the whole group; after a while, SIGKILL to what is left of it and of the process tree."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    kill_tree(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()
