"""The commands, one module each."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

import benchmarks.embedded
from benchmarks.embedded import cost, detectors, words
from zsad.errors import ZsadError

COMMANDS = (detectors, words, cost)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and leave the numbers behind."""
    parser = ArgumentParser(
        prog="python -m benchmarks.embedded",
        description=benchmarks.embedded.__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(verbs)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ZsadError as error:
        print(f"zsad: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
