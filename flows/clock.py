"""How long a process spent importing: what `import` statements took, counted at the outermost one."""

import builtins
import time
from types import ModuleType
from typing import Any

import psutil

_import = builtins.__import__


class ImportClock:
    """Counts from its creation; the time from the process' start until then counts as imports too."""

    def __init__(self) -> None:
        self.started = psutil.Process().create_time()
        self.seconds = time.time() - self.started
        self._depth = 0
        builtins.__import__ = self._timed

    def _timed(self, name: str, *args: Any, **kwargs: Any) -> ModuleType:
        if self._depth:
            return _import(name, *args, **kwargs)
        self._depth, start = 1, time.perf_counter()
        try:
            return _import(name, *args, **kwargs)
        finally:
            self._depth = 0
            self.seconds += time.perf_counter() - start

    def total(self) -> float:
        """Seconds since the process started."""
        return time.time() - self.started
