"""Hold ``zsad serve`` to what it promises.

    python -m benchmarks.service parity                             # every method by HTTP, beside predict
    python -m benchmarks.service malformed --cases 2000 --seed 0    # each is a 4xx with a reason, in time
    python -m benchmarks.service load --clients 100 --seconds 180   # errors, memory, latency, rate over predict
    python -m benchmarks.service load --seconds 60 --kill           # kill -9 and a restart in the middle

Exit status 1 where a bar is missed.
"""

import sys

from benchmarks import subcommands
from benchmarks.service import load, malformed, parity

if __name__ == "__main__":
    sys.exit(subcommands.run(__doc__, parity=parity, malformed=malformed, load=load))
