"""``zsad VERB``: parse, run, and turn errors into one line and an exit status.

Exit status: 0 all went well; 1 some of the work failed and was named; 2 the command could not run; above 128 a signal
ended it: 130 interrupted (Ctrl-C), 143 terminated (kill), 129 the terminal is gone, 141 nobody reads what is printed.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from io import TextIOWrapper
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
from zsad.cli.ending import BY_SIGNAL, flushed, leave, listening, said, unread
from zsad.cli.options import telling
from zsad.errors import ZsadError
from zsad.wording import printable, say

FAILED = 2
VERBS = (predict, train, evaluate, compare, benchmark, gallery, fit_normal, demo, lists, knowledge, pretrain, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    try:
        with flushed():
            command_line = parser()
            options = command_line.parse_args(arguments)
            if "run" not in options:
                command_line.print_help(sys.stderr)
                return FAILED
            with listening(), telling():
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
    except KeyboardInterrupt as ended:
        return said(ended)
    except BrokenPipeError:  # as in zsad methods | head
        return unread()
    except OSError as error:
        say(f"zsad: {error}. What was finished before is kept.", stderr=True)
        return FAILED
    return status


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
        leave(status)
    sys.exit(status)


if __name__ == "__main__":
    entry_point()
