"""A Prefect server for the length of one run, on loopback and SQLite, when none is named by `PREFECT_API_URL`.

Prefect can start one itself, but such a server outlives a driver that is killed; this one dies with it. It also starts
while the driver still looks at git and DVC, so that most of its seven seconds cost nothing.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.process import die_with_parent
from worldmodel.errors import MissingDependencyError

START_TIMEOUT_S = 180.0


class EmbeddedPrefect:
    """A Prefect API server process on a free loopback port."""

    def __init__(self, state: Path, environment: Mapping[str, str] = os.environ) -> None:
        """Starts the process and returns at once."""
        self.log = state / "logs" / "prefect-embedded.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{port}/api"
        self._process = self._start(port, environment)

    def _start(self, port: int, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
        ephemeral = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        with self.log.open("ab") as stream:
            return subprocess.Popen(
                [*command, *options],
                env={**environment, **ephemeral},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait(self) -> None:
        """Returns once the server answers.

        Raises:
            MissingDependencyError: it ended, or did not answer in time; names its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.1)
        raise MissingDependencyError(
            "the embedded Prefect server did not start", fix=f"worldmodel doctor; log: {self.log}"
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self) -> None:
        """Ends the process; safe to call twice."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def prefect_api(state: Path) -> Iterator[EmbeddedPrefect | None]:
    """Sets `PREFECT_API_URL` to an embedded server, unless it names one already (then yields None)."""
    if os.environ.get("PREFECT_API_URL"):
        yield None
        return
    server = EmbeddedPrefect(state)
    os.environ["PREFECT_API_URL"] = server.api_url
    try:
        yield server
    finally:
        del os.environ["PREFECT_API_URL"]
        server.stop()
