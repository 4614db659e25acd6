"""A command in a child of this process, which has imported everything, or in a cold process of Python's own."""

import datetime
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from zsad.benchmark import leaderboard
from zsad.cli.main import main
from zsad.evaluator import class_evaluator, runs

LIMIT = 120.0
"""Seconds that a command may take; far more than it does."""
LEFT = 30.0
"""Seconds that processes which it began may outlive it."""
POLL = 0.002


class FixedTime(datetime.datetime):
    """A clock that stands still: what two runs leave can be compared to the byte."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "FixedTime":
        return cls(2026, 1, 1, tzinfo=tz)


class Child:
    """A command that runs in a folder, with its cache and its temporary files below the folder.

    Args:
        words: of the command line.
        folder: where it runs.
        first: called in the child before the command.
        cold: whether the child is a new Python, which imports everything again.

    Attributes:
        pid: of the process, which leads a group.
        used: seconds for which it had computed when it ended.
    """

    def __init__(
        self, words: tuple[str, ...], folder: Path, first: Callable[[], None] = lambda: None, *, cold: bool = False
    ) -> None:
        self._printed, self._began = folder / "printed", time.monotonic()
        self._printed.unlink(missing_ok=True)
        self.used = 0.0
        self.pid = os.fork()
        if self.pid == 0:
            self._become(words, folder, first, cold)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def computed(self) -> float:
        """Seconds for which its threads have computed; does not depend on what else the machine does."""
        try:
            return time.clock_gettime(~self.pid << 3 | 2)  # CPUCLOCK_SCHED of the process, clock_getcpuclockid(3)
        except OSError:
            return 0.0

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._printed.read_text(errors="replace").strip() if self._printed.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, and not to processes that it began."""
        os.kill(self.pid, number)

    def ended(self, kill: Callable[["Child"], bool] = lambda _: False) -> tuple[int, str]:
        """Wait until it and the processes that it began have ended.

        Args:
            kill: asked again and again; once it is true, the command is killed.

        Returns:
            Its exit status, negative for a signal, and the end of what it printed.

        Raises:
            TimeoutError: it, or a process that it began, does not end.
        """
        is_killed = False
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            found, status, usage = os.wait4(self.pid, os.WNOHANG)
            if found:
                self.used = usage.ru_utime + usage.ru_stime
                self._wait_for_group()
                said = self.said[-300:]
                self._printed.unlink(missing_ok=True)
                return os.waitstatus_to_exitcode(status), said
            if not is_killed and kill(self):
                is_killed = True
                self.signal(signal.SIGKILL)
            time.sleep(POLL)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"it does not end within {LIMIT:g} s")

    def _wait_for_group(self) -> None:
        """For processes that it began and left behind."""
        end = time.monotonic() + LEFT
        while time.monotonic() < end:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.02)
        os.killpg(self.pid, signal.SIGKILL)
        raise TimeoutError("a process is left")

    def _become(self, words: tuple[str, ...], folder: Path, first: Callable[[], None], cold: bool) -> None:
        """In the child: be the command, in a group of processes of its own."""
        status = 70
        try:
            os.setpgid(0, 0)
            os.environ |= {"ZSAD_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
            tempfile.tempdir = None  # ours, which it remembers
            output = os.open(self._printed, os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if cold:
                os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in sys.path)
                os.chdir(folder)
                os.execv(sys.executable, [sys.executable, "-m", "benchmarks.faults.cold", *words])
            os.chdir(folder)
            status = run_here(words, first)
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(status)


def run(words: tuple[str, ...], folder: Path, first: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Run a command to its end, see :meth:`Child.ended`."""
    return Child(words, folder, first).ended()


def run_here(words: tuple[str, ...], first: Callable[[], None] = lambda: None) -> int:
    """Be the command, with clocks that are stopped; returns its exit status."""
    sys.argv = ["zsad", *words]
    stop_clocks()
    first()
    status = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def stop_clocks() -> None:
    """Durations are of one second, and dates those of ``FixedTime``."""
    ticks = itertools.count()
    time.perf_counter = lambda: float(next(ticks))  # type: ignore[assignment]
    datetime.datetime = FixedTime  # type: ignore[misc]
    for module in (leaderboard, runs):
        module.datetime = FixedTime  # type: ignore[attr-defined]
    class_evaluator._peak_memory = lambda device: 0.0
