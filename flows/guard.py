"""Runs a command that must not outlive whoever started it: `python -m flows.guard COMMAND ...`.

The starter holds the other end of this process' standard input. When that closes, because the starter ended or was
killed, everything in this process group is told to end, and killed if it does not. A parent-death signal alone reaches
only the first child, and `mlflow server` and Prefect's worker have children of their own.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_S = 10.0


def main(command: list[str]) -> int:
    """Runs `command` in this process group; returns its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # meant for the command; a handler, unlike SIG_IGN, is not inherited
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_starter, args=(child,), daemon=True).start()
    return child.wait()


def _end_with_starter(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    try:
        child.wait(GRACE_S)
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
