"""What a bootstrap says of a difference.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, sections 13.3 (percentile interval) and 15.4 (achieved
significance level); Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def significance(differences: Float[np.ndarray, "draws"]) -> float:
    """How easily the difference would come from the choice of images alone: a two-sided p-value.

    Twice the share of resamples in which the difference is 0 or has the other sign, at most 1. The sample itself counts
    as one more resample on the wrong side, so that it is never 0: with 2000 resamples it is at least 0.001.

    Args:
        differences: of a metric between two detectors, each on one resample; NaN where it is not defined.

    >>> significance(np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.1, 0.3, 0.2, -0.1]))
    0.4
    """
    known = differences[~np.isnan(differences)]
    reversed_ = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (reversed_ + 1) / (len(known) + 1))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance that any of those below a level is a false alarm is that level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, number in enumerate(sorted(range(len(values)), key=lambda number: values[number])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[number]))
        corrected[number] = highest
    return corrected
