import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from worldmodel.data.pool import run_jobs
from worldmodel.errors import Preempted, StageError


def never() -> bool:
    return False


# jobs run in other processes must be importable there, so these are of the standard library
def test_every_job_comes_back_with_its_result() -> None:
    for workers in (1, 2):
        assert dict(run_jobs(abs, [-3, 4, -5], workers, never)) == {-3: 3, 4: 4, -5: 5}


def test_one_worker_stays_in_this_process() -> None:
    assert next(run_jobs(lambda _: os.getpid(), [0, 1], 1, never)) == (0, os.getpid())


def test_an_error_of_a_job_is_raised_here() -> None:
    with pytest.raises(FileNotFoundError):
        dict(run_jobs(os.stat, ["/nowhere", "/nothing"], 2, never))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_ends_between_jobs_with_what_is_done(workers: int) -> None:
    done: list[int] = []
    with pytest.raises(Preempted):
        for job, _ in run_jobs(abs, list(range(50)), workers, lambda: len(done) >= 3):
            done.append(job)
    assert 3 <= len(done) <= 5


def test_a_worker_that_dies_is_reported() -> None:
    with pytest.raises(StageError, match="a worker process died"):
        dict(run_jobs(os._exit, [1, 1, 1], 2, never))


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import multiprocessing, os, time
        from worldmodel.data.pool import run_jobs

        if __name__ == "__main__":
            for _ in run_jobs(time.sleep, [0.0, 0.0, 60.0, 60.0], 2, lambda: False):
                print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        """)
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=_env()) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) >= 1
        parent.kill()
    deadline = time.monotonic() + 20
    while any(_lives(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_lives(worker) for worker in workers)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
