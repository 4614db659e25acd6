"""One command in a process of its own, watched: how it ends, what it says, how long it takes and how much it holds."""

import contextlib
import io
import json
import math
import os
import signal
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.fuzz.requests import post
from zsad.cli.main import main

LONGEST, PATIENCE = 20.0, 120.0
"""Seconds after which a command hangs: of computing, and by the clock, for it shares the machine."""
MOST = 2 * 2**30
"""Bytes of memory that a command may hold beyond what the process began with."""
OFTEN = 0.02
RESULT, ANSWERS = ".result.json", "out/predictions.json"
STATUSES = (0, 1, 2)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        what: ``used`` (exit status 0), ``refused`` (1 or 2), or what is wrong with it.
        said: the last line that it printed, or the traceback.
        scores: of the images it scored.
    """

    what: str
    said: str
    scores: tuple[float, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether this may not happen, whatever the file."""
        return self.what not in ("used", "refused")


@dataclass
class Trial:
    """A command that runs in a forked process, in ``folder``.

    The process that forks has one thread, and everything heavy imported.
    """

    command: Sequence[str]
    folder: Path

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            _run(self.command, self.folder)
        self._process = psutil.Process(self._pid)
        self._at_first = self._held()
        self._wrong = ""

    def poll(self) -> Outcome | None:
        """The outcome, once there is one; stops what hangs or takes too much memory."""
        found, status = os.waitpid(self._pid, os.WNOHANG)
        if found:
            return self._outcome(status)
        if not self._wrong and (self._computed() > LONGEST or time.monotonic() - self._began > PATIENCE):
            self._stop(f"hangs: no end in {LONGEST:g} s of computing, or {PATIENCE:g} s")
        elif not self._wrong and self._held() - self._at_first > MOST:
            self._stop(f"takes more than {MOST / 2**30:g} GB")
        return None

    def _held(self) -> int:
        with contextlib.suppress(psutil.Error):
            return int(self._process.memory_info().rss)
        return 0

    def _computed(self) -> float:
        with contextlib.suppress(psutil.Error):
            times = self._process.cpu_times()
            return float(times.user + times.system)
        return 0.0

    def _stop(self, why: str) -> None:
        self._wrong = why
        with contextlib.suppress(psutil.Error):
            for one in (*self._process.children(recursive=True), self._process):
                one.kill()

    def _outcome(self, status: int) -> Outcome:
        if self._wrong:
            return Outcome(self._wrong, " ".join(self.command))
        if os.WIFSIGNALED(status):
            return Outcome(f"killed by {signal.Signals(os.WTERMSIG(status)).name}", " ".join(self.command))
        result = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
        if result["traceback"]:
            return Outcome("traceback", result["traceback"])
        return self._ended(result["status"], result["said"])

    def _ended(self, status: int, said: str) -> Outcome:
        last = (said.strip().splitlines() or [""])[-1]
        if status not in STATUSES:
            return Outcome(f"exit status {status}", last)
        if status and not last:
            return Outcome("fails without a word", "")
        scores = _scores(self.folder / ANSWERS)
        if not all(math.isfinite(score) and 0 <= score <= 1 for score in scores):
            return Outcome("a score that is none", f"{scores}")
        return Outcome("refused" if status else "used", last, scores)


def _scores(path: Path) -> tuple[float, ...]:
    if not path.is_file():
        return ()
    listing = json.loads(path.read_text(encoding="utf-8"))
    return tuple(one["score"] for one in listing["predictions"])


def _run(command: Sequence[str], folder: Path) -> None:
    """The child: never returns."""
    said, wrong, status = io.StringIO(), "", -1
    os.chdir(folder)
    os.environ["ZSAD_CACHE"] = str(folder / "cache")
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = post(*command[1:]) if command[0] == "POST" else main(command)
    except SystemExit as end:  # argparse
        status = end.code if isinstance(end.code, int) else 2
    except BaseException:
        wrong = traceback.format_exc()
    result = {"status": status, "said": said.getvalue(), "traceback": wrong}
    (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    os._exit(0)
