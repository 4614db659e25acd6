"""Area under the receiver operating characteristic."""

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import ArrayLike

from zsad.metrics.score_counts import ScoreCounts, tally_scores
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


def auroc_of(tally: ScoreCounts) -> float | Undefined:
    """AUROC of counted samples."""
    if missing := tally.missing("AUROC"):
        return missing
    return float(auroc_of_counts(tally.normal[None], tally.anomalous[None])[0])


def auroc_of_counts(
    normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]
) -> Float[np.ndarray, "draws"]:
    """AUROC of each draw, in all of which both states occur; values ascend."""
    below = np.cumsum(normal, axis=1) - normal / 2
    area: np.ndarray = (anomalous * below).sum(1) / anomalous.sum(1) / normal.sum(1)
    return area
