"""Fair timing of alternatives on a machine that is never quite idle."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Seconds:
    """Of one alternative: the fastest round and the middle one."""

    fastest: float
    middle: float


def alternate(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Run the alternatives in turn, ``rounds`` times after one to warm up, so that all meet the same disturbances."""
    taken: dict[str, list[float]] = {name: [] for name in alternatives}
    for number in range(rounds + 1):
        for name, run in alternatives.items():
            start = time.perf_counter()
            run()
            if number:
                taken[name].append(time.perf_counter() - start)
    return {name: Seconds(min(values), median(values)) for name, values in taken.items()}
