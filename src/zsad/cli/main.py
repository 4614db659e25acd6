"""``zsad VERB``: parse, run, and turn errors into one line and an exit status.

Exit status: 0 all went well; 1 some of the work failed and was named; 2 the command could not run; 130 interrupted.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from io import TextIOWrapper

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

OK, FAILED, INTERRUPTED = 0, 2, 130
VERBS = (predict, train, evaluate, compare, benchmark, gallery, fit_normal, demo, lists, knowledge, pretrain, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    if "run" not in options:
        command_line.print_help(sys.stderr)
        return FAILED
    try:
        with telling():
            status: int = options.run(options)
    except ZsadError as error:
        print(f"zsad: {error}", file=sys.stderr)
        return FAILED
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error):  # PyTorch's own is a RuntimeError
            raise
        remedy = "Lower --micro-batch (in training), --batch-size or --image-size."
        print(f"zsad: out of memory. {remedy}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("zsad: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (zsad methods | head); leave nothing for Python to flush.
        sys.stdout = None
        return OK
    except OSError as error:
        print(f"zsad: {error}. What was finished before is kept.", file=sys.stderr)
        return FAILED
    return status


def parser() -> ArgumentParser:
    """The whole command line."""
    root = ArgumentParser(prog="zsad", description=zsad.__doc__.splitlines()[0] if zsad.__doc__ else None)
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
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
