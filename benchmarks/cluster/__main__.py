"""Hold ``zsad predict MANIFEST --engine local|ray`` to what it promises.

    python -m benchmarks.cluster parity    # every method with both engines, beside predict
    python -m benchmarks.cluster kills     # workers and runs killed, and the run given again

Exit status 1 where a bar is missed.
"""

import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}

from benchmarks import subcommands
from benchmarks.cluster import kills, parity

if __name__ == "__main__":
    sys.exit(subcommands.run(__doc__, parity=parity, kills=kills))
