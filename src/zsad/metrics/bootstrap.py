"""How far a metric might be off for want of samples."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from zsad.metrics.checks import paired_scores
from zsad.metrics.tally import tally_scores
from zsad.metrics.undefined import defined


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a metric; each class is resampled by itself, so that neither can vanish.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.
    """
    values, truth = paired_scores(scores, labels)
    if missing := tally_scores(values, truth).missing("an interval"):
        defined(missing)
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(~truth), np.flatnonzero(truth)]
    draws = []
    for _ in range(resamples):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in groups])
        draws.append(metric(values[chosen], truth[chosen]))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
