"""Jobs over processes that never outlive the process that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from worldmodel.errors import Preempted, StageError

Job = TypeVar("Job")
Result = TypeVar("Result")

_POLL_S = 0.2


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, should_stop: Callable[[], bool]
) -> Iterator[tuple[Job, Result]]:
    """Runs jobs and yields each with its result, in order of completion.

    At most `workers` jobs are under way at a time, so a stop waits for those alone. One worker means this process.

    Raises:
        Preempted: `should_stop` said so; jobs under way were finished first.
        StageError: a worker process died.
        Exception: whatever `work` raises.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            if should_stop():
                raise Preempted("stopped between jobs")
            yield job, work(job)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=spawn, initializer=_die_with_parent) as pool:
        try:
            yield from _fill(pool, work, jobs, workers, should_stop)
        except BrokenProcessPool as error:
            fix = "see the system's log for an out-of-memory kill; fewer workers need less memory"
            raise StageError("a worker process died without a word", got=str(error), fix=fix) from error


def _fill(
    pool: ProcessPoolExecutor,
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[Job, Result]]:
    waiting, running = list(reversed(jobs)), dict[Future[Result], Job]()
    while waiting or running:
        stop = should_stop()
        while waiting and len(running) < workers and not stop:
            job = waiting.pop()
            running[pool.submit(work, job)] = job
        if stop and not running:
            raise Preempted("stopped between jobs")
        done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
        for future in done:
            yield running.pop(future), future.result()


def _die_with_parent() -> None:
    """Ends this worker when its parent is gone, however that ended: the parent's pipe closes with it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()
