"""Hold ``zsad predict MANIFEST --engine local|ray`` to what it promises.

    python -m benchmarks.cluster parity    # every method with both engines, beside predict
    python -m benchmarks.cluster kills     # workers and runs killed, and the run given again

Exit status 1 where a bar is missed.
"""

import argparse
import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}

from benchmarks.cluster import kills, parity


def main() -> int:
    """Run one of them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, module in (("parity", parity), ("kills", kills)):
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0])
        module.configure(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args()
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
