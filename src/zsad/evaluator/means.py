"""The mean of a data set: every class counts alike, as in the papers' tables."""

from collections.abc import Sequence

import numpy as np

from zsad.evaluator.intervals import Draws, interval
from zsad.evaluator.results import METRICS, ClassResult, Metric


def means(results: Sequence[ClassResult], draws: Sequence[Draws], confidence: float) -> dict[str, Metric]:
    """Mean of each metric over the classes that define it; there is none where no class does.

    Intervals are of the mean of the classes' resamples, which are independent of each other.

    Args:
        results: of the classes.
        draws: metrics of their resamples.
        confidence: of the intervals.
    """
    return {name: _mean(name, results, draws, confidence) for name in METRICS}


def _mean(name: str, results: Sequence[ClassResult], draws: Sequence[Draws], confidence: float) -> Metric:
    defining = [number for number, result in enumerate(results) if result.metrics[name].value is not None]
    if not defining:
        reasons = {result.metrics[name].reason for result in results}
        return Metric(None, reason=reasons.pop() if len(reasons) == 1 else "no class defines it", classes=0)
    value = float(np.mean([results[number].metrics[name].value for number in defining]))
    drawn = [draws[number][name] for number in defining if name in draws[number]]
    low, high = interval(np.mean(drawn, 0), confidence) if len(drawn) == len(defining) else (None, None)
    return Metric(value, low, high, classes=len(defining))
