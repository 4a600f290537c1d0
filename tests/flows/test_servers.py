import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import servers
from flows.servers import HOST, Links, port_holder, serve
from worldmodel.errors import MissingDependencyError, WorkspaceError

SERVE = """
import sys
from pathlib import Path
from flows.servers import serve
links = lambda found: print("READY", found.prefect, found.mlflow, flush=True)
serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), on_ready=links, say=lambda text: print(text, flush=True))
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((HOST, 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until_gone(processes: list[psutil.Process], timeout: float = 15) -> list[psutil.Process]:
    gone, alive = psutil.wait_procs(processes, timeout)
    assert len(gone) + len(alive) == len(processes)
    return alive


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_all_three_come_up_answer_and_leave_nothing_behind(tmp_path: Path) -> None:
    prefect_port, mlflow_port = free_ports(2)
    command = [sys.executable, "-c", SERVE, str(tmp_path), str(prefect_port), str(mlflow_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            lines = []
            for line in process.stdout:
                lines.append(line.strip())
                if line.startswith("READY"):
                    break
            assert lines[-1] == f"READY http://{HOST}:{prefect_port} http://{HOST}:{mlflow_port}"
            for url in (f"http://{HOST}:{prefect_port}/api/health", f"http://{HOST}:{mlflow_port}/health"):
                with urllib.request.urlopen(url, timeout=10) as answer:
                    assert answer.status == 200
            family = psutil.Process(process.pid).children(recursive=True)
            assert str(mlflow_port) in " ".join(" ".join(child.cmdline()) for child in family)
            listening = {c.laddr.ip for p in family for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
            assert listening == {HOST}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert wait_until_gone(family) == []
    assert port_holder(prefect_port) is None
    assert port_holder(mlflow_port) is None
    assert (tmp_path / "mlflow.db").is_file()
    assert (tmp_path / "prefect" / "prefect.db").is_file()
    assert {log.stem for log in (tmp_path / "logs").iterdir()} == {"prefect-server", "mlflow-server", "prefect-worker"}


def test_a_taken_port_is_refused_naming_who_holds_it_and_nothing_is_started(tmp_path: Path, taken_port: int) -> None:
    (free,) = free_ports(1)
    with pytest.raises(WorkspaceError, match=rf"port {taken_port} is taken") as caught:
        serve(tmp_path, free, taken_port, on_ready=lambda links: None)
    assert f"pid {os.getpid()}" in caught.value.got
    assert "--mlflow-port" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_free_port_has_no_holder() -> None:
    (port,) = free_ports(1)
    assert port_holder(port) is None


def service(name: str, code: str, healthy: bool = True) -> servers._Service:
    return servers._Service(name, [sys.executable, "-c", code], dict(os.environ), lambda: healthy)


def test_a_service_that_ends_while_starting_is_named_with_its_log_and_the_others_are_stopped(tmp_path: Path) -> None:
    good = service("good", "import time; time.sleep(60)")
    bad = service("bad", "import sys; print('no such table'); sys.exit(3)", healthy=False)
    with (
        pytest.raises(MissingDependencyError, match=r"bad ended with exit code 3") as caught,
        servers._Services(tmp_path, lambda text: None, threading.Event()) as services,
    ):
        services.start(good, bad)
    assert caught.value.got == "no such table"
    assert str(tmp_path / "bad.log") in caught.value.fix
    assert all(process.poll() is not None for process in services.processes.values())


def test_a_service_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "START_TIMEOUT_S", 0.5)
    with (
        pytest.raises(MissingDependencyError, match="mute did not answer"),
        servers._Services(tmp_path, lambda text: None, threading.Event()) as services,
    ):
        services.start(service("mute", "import time; time.sleep(60)", healthy=False))


def test_a_stop_while_starting_is_obeyed(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with servers._Services(tmp_path, lambda text: None, stop) as services:
        services.start(service("slow", "import time; time.sleep(60)", healthy=False))
        services.start(service("next", "import time; time.sleep(60)"))
    assert list(services.processes) == ["slow"]
    assert services.processes["slow"].poll() is not None


def test_a_service_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "STOP_TIMEOUT_S", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with servers._Services(tmp_path, lambda text: None, threading.Event()) as services:
        services.start(service("deaf", code))
        while "deaf" not in services.log("deaf").read_text():
            time.sleep(0.05)
        family = psutil.Process(services.processes["deaf"].pid).children(recursive=True)
    assert len(family) == 1
    assert wait_until_gone(family) == []


def test_the_links_say_how_a_run_uses_the_servers() -> None:
    environment = Links("http://127.0.0.1:4200", "http://127.0.0.1:5000").environment
    assert environment == {
        "PREFECT_API_URL": "http://127.0.0.1:4200/api",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
    }
