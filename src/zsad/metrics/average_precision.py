"""Average precision: the area under precision over recall, as a step function."""

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import ArrayLike

from zsad.metrics.score_counts import ScoreCounts, from_above, tally_scores
from zsad.metrics.undefined import Undefined, defined


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the anomalous samples of the precision at their score, samples of equal score taken together; exact.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8333333333333333
    """
    return defined(average_precision_of(tally_scores(scores, labels)))


def average_precision_of(tally: ScoreCounts) -> float | Undefined:
    """Average precision of counted samples."""
    if missing := tally.missing("average precision"):
        return missing
    return float(average_precision_of_counts(tally.normal[None], tally.anomalous[None])[0])


def average_precision_of_counts(
    normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]
) -> Float[np.ndarray, "draws"]:
    """Average precision of each draw, in all of which both states occur; values ascend."""
    found = from_above(anomalous)
    # A draw may have no sample of the highest values.
    precision = found / np.maximum(found + from_above(normal), 1)
    area: np.ndarray = (anomalous[:, ::-1] * precision).sum(1) / found[:, -1]
    return area
