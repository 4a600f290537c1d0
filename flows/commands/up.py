"""`worldmodel up`."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from flows.answers import print_json
from flows.environment import state_dir, telemetry_off
from flows.git import find_checkout
from flows.servers import POOL, Links, serve
from worldmodel.errors import WorkspaceError


def _deploy(checkout: Path, links: Links) -> None:
    """Registers flow and experiment, so that the worker has something to run.

    Raises:
        WorkspaceError: a server refused it, with its message.
    """
    command = [sys.executable, "-m", "flows.deploy", str(checkout), str(state_dir(checkout)), POOL]
    result = subprocess.run(command, env={**os.environ, **links.environment}, capture_output=True, text=True)
    if result.returncode:
        raise WorkspaceError("the flow could not be registered with the servers", got=result.stderr.strip()[-500:])


def serve_until_stopped(prefect_port: int, mlflow_port: int, *, as_json: bool) -> int:
    """Starts the servers, tells where they are, and stops them on Ctrl-C."""
    os.environ.update(telemetry_off())
    console = Console(stderr=as_json, highlight=False)

    checkout = find_checkout(Path.cwd())

    def tell(links: Links) -> None:
        _deploy(checkout, links)
        if as_json:
            print_json({"prefect": links.prefect, "mlflow": links.mlflow, "environment": links.environment})
            sys.stdout.flush()
            return
        console.print(f"\nPrefect  [link]{links.prefect}[/]\nMLflow   [link]{links.mlflow}[/]\n")
        console.print("Runs use them with")
        for name, value in links.environment.items():
            console.print(f"  export {name}={value}")
        console.print("and the worker runs what is started in the UI, or with")
        console.print("  prefect deployment run lifecycle/local --param profile=debug")
        console.print("Ctrl-C stops all of it.")

    serve(
        state_dir(checkout), prefect_port, mlflow_port, on_ready=tell, say=lambda text: console.print(text, style="dim")
    )
    return 0
