"""`worldmodel up`."""

import os
import sys
from pathlib import Path

from rich.console import Console

from flows.cli import print_json
from flows.environment import state_dir, telemetry_off
from flows.git import find_checkout
from flows.servers import Links, serve


def serve_until_stopped(prefect_port: int, mlflow_port: int, *, as_json: bool) -> int:
    """Starts the servers, tells where they are, and stops them on Ctrl-C."""
    os.environ.update(telemetry_off())
    console = Console(stderr=as_json, highlight=False)

    def tell(links: Links) -> None:
        if as_json:
            print_json({"prefect": links.prefect, "mlflow": links.mlflow, "environment": links.environment})
            sys.stdout.flush()
            return
        console.print(f"\nPrefect  [link]{links.prefect}[/]\nMLflow   [link]{links.mlflow}[/]\n")
        console.print("Runs use them with")
        for name, value in links.environment.items():
            console.print(f"  export {name}={value}")
        console.print("Ctrl-C stops all of it.")

    state = state_dir(find_checkout(Path.cwd()))
    serve(state, prefect_port, mlflow_port, on_ready=tell, say=lambda text: console.print(text, style="dim"))
    return 0
