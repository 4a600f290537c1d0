"""Makes new servers of `worldmodel up` ready: the flow as a deployment, and the experiment where its artifacts belong.

`python -m flows.deploy CHECKOUT STATE POOL`, with `PREFECT_API_URL` and `MLFLOW_TRACKING_URI` set. A worker then runs
the deployment `lifecycle/local` from the UI, the API or the CLI.
"""

import sys
from pathlib import Path

from flows.tracking import connect, experiment

DEPLOYMENT = "local"


def deploy(checkout: Path, pool: str) -> None:
    """The deployment runs in `checkout`, as `worldmodel run` there would."""
    from prefect import Flow

    from flows.lifecycle import lifecycle

    flow = lifecycle.from_source(source=str(checkout), entrypoint="flows/lifecycle.py:lifecycle")
    assert isinstance(flow, Flow)  # a coroutine only where an event loop runs
    flow.deploy(name=DEPLOYMENT, work_pool_name=pool, build=False, push=False, print_next_steps=False)


if __name__ == "__main__":
    experiment(connect(), Path(sys.argv[2]))
    deploy(Path(sys.argv[1]), sys.argv[3])
