"""How a command ends at a signal: at the first one, and with no half-written file."""

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
"""Added to the number of a signal in an exit status."""
NOBODY_READS = BY_SIGNAL + 13  # SIGPIPE, which Windows has not
MOMENT = 0.05
"""Seconds."""
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Ended(KeyboardInterrupt):
    """A signal ended the command. A file that is being written is completed or removed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupted(Ended):
    """Ctrl-C."""


class Terminated(Ended):
    """Another process ended it, or the terminal is gone."""


@contextmanager
def listening() -> Iterator[None]:
    """Let signals raise :class:`Ended`, where no other handler is installed."""
    request = _EndRequest()
    before = {}
    with suppress(ValueError):  # not in the main thread
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, request.handle)
    try:
        yield
        request.end()
    except Exception as error:
        request.end(error)
        raise
    finally:
        request.close()
        for number, handler in before.items():
            signal.signal(number, handler)


class _EndRequest:
    """Whether a signal has arrived.

    Some third-party code swallows exceptions, for instance while it is imported. An exception that is gone before the
    command is over is raised again, so that one signal is enough.
    """

    def __init__(self) -> None:
        self._is_over, self._number, self._lock = False, 0, Lock()
        self._raised: ref[Ended] | None = None

    def handle(self, number: int, _: FrameType | None) -> NoReturn:
        """The signal handler."""
        self._number = number
        ended = self._ended()
        self._raised = ref(ended, self._swallowed)
        try:
            raise ended
        finally:
            del ended  # else it would keep itself, by its traceback

    def end(self, error: Exception | None = None) -> None:
        """Raise after the command if a signal has arrived.

        Raises:
            Ended: one has.
        """
        if self._number:
            self.close()
            raise self._ended() from error

    def close(self) -> None:
        """Stop raising the exception again."""
        with self._lock:
            self._is_over = True

    def _ended(self) -> Ended:
        return (Interrupted if self._number == signal.SIGINT else Terminated)(self._number)

    def _swallowed(self, _: "ref[Ended]") -> None:
        """While an exception is dropped, others are swallowed: another thread repeats the signal a moment later."""
        if not self._is_over:
            start_new_thread(self._repeat, ())  # a Thread would be waited for until it has begun

    def _repeat(self) -> None:
        time.sleep(MOMENT)
        with self._lock:
            if self._is_over:
                return
            if hasattr(signal, "pthread_kill"):  # which also interrupts a blocking call of the main thread
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
    """Flush at the end of the block, so that a closed pipe is noticed there and not when Python exits."""
    try:
        yield
    finally:
        if sys.stdout is not None:  # pythonw has none
            sys.stdout.flush()


def unread() -> int:
    """Handle a closed pipe: discard what is still to be written. Returns the exit status."""
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
