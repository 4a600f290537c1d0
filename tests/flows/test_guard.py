import subprocess
import sys

import psutil

STARTER = """
import subprocess, sys, time
guard = subprocess.Popen([sys.executable, "-m", "flows.guard", sys.executable, "-c", sys.argv[1]],
                         stdin=subprocess.PIPE, start_new_session=True)
time.sleep(60)
"""
FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("born", flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_starter_that_was_killed() -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, FAMILY], stdout=subprocess.PIPE)
    assert starter.stdout is not None and starter.stdout.readline() == b"born\n"
    family = psutil.Process(starter.pid).children(recursive=True)
    assert len(family) == 3
    starter.kill()
    starter.wait()
    gone, alive = psutil.wait_procs(family, timeout=15)
    assert (len(gone), alive) == (3, [])
    starter.stdout.close()


def test_the_command_decides_the_exit_code() -> None:
    command = [sys.executable, "-m", "flows.guard", sys.executable, "-c", "import sys; sys.exit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        assert guard.wait(30) == 7
