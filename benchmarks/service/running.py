"""The command ``zsad serve`` in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command import START, entry_point


class Service:
    """A service that can be killed and started again at the same address.

    Args:
        words: of the command line, after ``serve``.
    """

    def __init__(self, *words: str) -> None:
        self._words, self.port = words, 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        module, function = entry_point()
        code = START.format(module=module, function=function)
        command = [sys.executable, "-c", code, "serve", *self._words, "--port", str(self.port)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := re.search(r"serving: http://[^:]+:(\d+)/", line):
                self.port = int(match[1])
                return
        raise RuntimeError(f"zsad serve ended with {self._process.wait()}")

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self._process.terminate()
        return self._process.wait(120)

    @property
    def memory(self) -> int:
        """Resident bytes now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(*words: str) -> Iterator[Service]:
    """A service for the duration of a ``with`` block."""
    service = Service(*words)
    try:
        yield service
    finally:
        service.stop()
