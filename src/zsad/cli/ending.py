"""How a command ends when a signal asks for it: at the first time of asking, with everything that is on disk whole."""

import os
import signal
import sys
import time
from _thread import start_new_thread
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, main_thread
from types import FrameType
from typing import NoReturn
from weakref import ref

from zsad.wording import say

BY_SIGNAL = 128
"""What the numbers of signals are added to, in an exit status."""
NOBODY_READS = BY_SIGNAL + 13  # SIGPIPE, which Windows has not
MOMENT = 0.05
"""Seconds."""
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Ended(KeyboardInterrupt):
    """A signal asked for the end. What is being written is finished or taken back."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupted(Ended):
    """A Ctrl-C did."""


class Terminated(Ended):
    """Another process did, or the terminal is gone."""


@contextmanager
def listening() -> Iterator[None]:
    """Let signals that ask for the end raise :class:`Ended`, where nobody else listens for them."""
    asked = _Asked()
    before = {}
    with suppress(ValueError):  # not in the main thread
        for one in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if signal.getsignal(one) in (signal.SIG_DFL, signal.default_int_handler):
                before[one] = signal.signal(one, asked.heard)
    try:
        yield
        asked.end()
    except Exception as error:
        asked.end(error)
        raise
    finally:
        asked.close()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Asked:
    """Whether a signal asked for the end.

    Code of others swallows exceptions here and there, as while it is imported. An exception that is gone before the
    command is over is raised again, so that nobody has to ask twice.
    """

    def __init__(self) -> None:
        self._is_over, self._number, self._lock = False, 0, Lock()
        self._raised: ref[Ended] | None = None

    def heard(self, number: int, _: FrameType | None) -> NoReturn:
        """The handler of the signals."""
        self._number = number
        ended = self._ended()
        self._raised = ref(ended, self._lost)
        try:
            raise ended
        finally:
            del ended  # else it would keep itself, by its traceback

    def end(self, error: Exception | None = None) -> None:
        """End what a signal asked to end, though it ended otherwise.

        Raises:
            Ended: a signal did.
        """
        if self._number:
            self.close()
            raise self._ended() from error

    def close(self) -> None:
        """From now on nothing is raised again."""
        with self._lock:
            self._is_over = True

    def _ended(self) -> Ended:
        return (Interrupted if self._number == signal.SIGINT else Terminated)(self._number)

    def _lost(self, _: "ref[Ended]") -> None:
        """Who drops an exception swallows what is raised meanwhile: another thread asks, a moment later."""
        if not self._is_over:
            start_new_thread(self._ask_again, ())  # a Thread would be waited for until it has begun

    def _ask_again(self) -> None:
        time.sleep(MOMENT)
        with self._lock:
            if self._is_over:
                return
            if hasattr(signal, "pthread_kill"):  # which also ends what the main thread waits for
                signal.pthread_kill(main_thread().ident or 0, self._number)
            else:
                signal.raise_signal(self._number)


def report_signal(ended: KeyboardInterrupt) -> int:
    """Print that a signal ended the command; returns its exit status."""
    with suppress(OSError):  # the terminal may be gone
        say("zsad: terminated" if isinstance(ended, Terminated) else "zsad: interrupted", stderr=True)
    return BY_SIGNAL + (ended.number if isinstance(ended, Ended) else signal.SIGINT)


@contextmanager
def flushed() -> Iterator[None]:
    """A reader of our output that is gone is noticed when the block ends, and not when Python does."""
    try:
        yield
    finally:
        if sys.stdout is not None:  # pythonw has none
            sys.stdout.flush()


def unread() -> int:
    """Nobody reads our output any more: what is still to be written goes nowhere. Returns the exit status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream that is no file
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return NOBODY_READS


def leave(status: int) -> NoReturn:
    """End the process at once: Python would wait for threads that are still reading a file."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)
