"""``zsad VERB``: parse, run, and turn errors into one line and an exit status.

Exit status: 0 all went well; 1 some of the work failed and was named; 2 the command could not run; above 128 a signal
ended it: 130 interrupted (Ctrl-C), 143 terminated (kill), 129 the terminal is gone, 141 nobody reads what is printed.
"""

import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

import zsad
from zsad.cli import (
    benchmark,
    compare,
    data,
    demo,
    evaluate,
    fit_normal,
    gallery,
    knowledge,
    lists,
    predict,
    pretrain,
    train,
)
from zsad.cli.options import telling
from zsad.errors import ZsadError
from zsad.wording import printable, say

FAILED, BY_SIGNAL = 2, 128
NOBODY_READS = BY_SIGNAL + 13  # SIGPIPE, which Windows has not
ENDING = ("SIGTERM", "SIGHUP")
"""Signals that end a command as a Ctrl-C does: what it was writing is finished or taken back."""
VERBS = (predict, train, evaluate, compare, benchmark, gallery, fit_normal, demo, lists, knowledge, pretrain, data)


class Ended(KeyboardInterrupt):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    command_line = parser()
    try:
        with _flushed():
            options = command_line.parse_args(arguments)
            if "run" not in options:
                command_line.print_help(sys.stderr)
                return FAILED
            with _listening(), telling():
                status: int = options.run(options)
    except ZsadError as error:
        say(f"zsad: {error}", stderr=True)
        return FAILED
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error):  # PyTorch's own is a RuntimeError
            raise
        remedy = "Lower --micro-batch (in training), --batch-size or --image-size."
        say(f"zsad: out of memory. {remedy}", stderr=True)
        return FAILED
    except Ended as ended:
        return _say_ended("terminated", ended.number)
    except KeyboardInterrupt:
        return _say_ended("interrupted", signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output went away (zsad methods | head); leave nothing for Python to flush.
        _forget_streams()
        return NOBODY_READS
    except OSError as error:
        say(f"zsad: {error}. What was finished before is kept.", stderr=True)
        return FAILED
    return status


@contextmanager
def _flushed() -> Iterator[None]:
    """A reader of our output that is gone is noticed when the block ends, and not when Python does."""
    try:
        yield
    finally:
        if sys.stdout is not None:  # pythonw has none
            sys.stdout.flush()


@contextmanager
def _listening() -> Iterator[None]:
    """Let signals that ask for the end raise :class:`Ended`, where nobody else listens for them."""
    ours = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    try:
        taken = [one for one in ours if signal.getsignal(one) is signal.SIG_DFL and signal.signal(one, _end) is not one]
    except ValueError:  # not in the main thread, as in a server or a test
        taken = []
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise Ended(number)


def _say_ended(what: str, number: int) -> int:
    with suppress(OSError):  # the terminal may be gone
        say(f"zsad: {what}", stderr=True)
    return BY_SIGNAL + number


def _forget_streams() -> None:
    """What is still to be written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream that is no file
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Parser(ArgumentParser):
    """Shows what was typed and does not pass on what a terminal would obey: a shell's ``*`` is what others named."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End with a message."""
        super().exit(status, message and printable(message, keep="\n"))


def parser() -> ArgumentParser:
    """The whole command line."""
    root = Parser(prog="zsad", description=zsad.__doc__.splitlines()[0] if zsad.__doc__ else None)
    root.add_argument("--version", action="version", version=f"zsad {zsad.__version__}")
    verbs = root.add_subparsers(title="commands", metavar="COMMAND")
    for verb in VERBS:
        verb.add(verbs)
    return root


def entry_point() -> None:
    """The ``zsad`` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode loses a sign, not the run
    status = main()
    if status > BY_SIGNAL:
        _leave(status)
    sys.exit(status)


def _leave(status: int) -> NoReturn:
    """End at once: Python would wait for threads that are still reading a file."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    entry_point()
