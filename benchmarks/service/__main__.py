"""Hold ``zsad serve`` to what it promises.

    python -m benchmarks.service parity                             # every method by HTTP, beside predict
    python -m benchmarks.service malformed --cases 2000 --seed 0    # each is a 4xx with a reason, in time
    python -m benchmarks.service load --clients 100 --seconds 180   # errors, memory, latency, rate over predict
    python -m benchmarks.service load --seconds 60 --kill           # kill -9 and a restart in the middle

Exit status 1 where a bar is missed.
"""

import argparse
import sys

from benchmarks.service import load, malformed, parity


def main() -> int:
    """Run one of them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, module in (("parity", parity), ("malformed", malformed), ("load", load)):
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0])
        module.configure(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args()
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
