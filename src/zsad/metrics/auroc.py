"""Area under the receiver operating characteristic."""

import numpy as np
from numpy.typing import ArrayLike

from zsad.metrics.tally import Tally, tally_scores
from zsad.metrics.undefined import Undefined, defined


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Probability that an anomalous sample scores above a normal one, ties counted half; exact.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return defined(auroc_of(tally_scores(scores, labels)))


def auroc_of(tally: Tally) -> float | Undefined:
    """AUROC of counted samples."""
    if missing := tally.missing("AUROC"):
        return missing
    below = np.cumsum(tally.normal) - tally.normal / 2
    return float((tally.anomalous * below).sum() / tally.anomalous.sum() / tally.normal.sum())
