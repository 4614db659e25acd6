"""``python -m benchmarks.faults.cold WORDS...``: the command with clocks that are stopped, in a new Python."""

import os
import sys

if __name__ == "__main__":
    from benchmarks.faults.running import run_here

    os._exit(run_here(tuple(sys.argv[1:])))
