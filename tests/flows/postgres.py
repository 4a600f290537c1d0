"""A real PostgreSQL for tests: the Debian package's server in a temporary directory, on loopback.

Import `postgres_server` and `postgres_url` into the module (or conftest) that uses them.
"""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_DATABASES = itertools.count(1)


def _binaries() -> Path | None:
    """The folder of the newest server that is installed."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of an empty server, without the database's name; it goes when the tests end."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    base = Path(tempfile.mkdtemp(prefix="worldmodel-postgres-", dir="/tmp"))
    if user:
        shutil.chown(base, user)

    def run(name: str, *arguments: str) -> None:
        command = [str(binaries / name), *arguments]
        result = subprocess.run(command, user=user, cwd=base, capture_output=True, text=True, env=_plain(base))
        assert result.returncode == 0, result.stdout + result.stderr

    port = _free_port()
    options = f"-h 127.0.0.1 -p {port} -k {base} -c fsync=off -c max_connections=100 -c shared_buffers=16MB"
    # pg_ctl's server keeps the pipe it is given, so it gets a file
    run("initdb", "--pgdata", "data", "--username=worldmodel", "--auth=trust", "--no-sync", "--encoding=UTF8")
    run("pg_ctl", "start", "--pgdata=data", "--wait", "--silent", f"--options={options}", "--log=server.log")
    try:
        yield f"postgresql://worldmodel@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "stop", "--pgdata=data", "--mode=immediate", "--silent")
        shutil.rmtree(base)


def _plain(home: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(home)}


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """URL of a fresh database."""
    import psycopg

    name = f"test_{next(_DATABASES)}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{postgres_server}/{name}"
