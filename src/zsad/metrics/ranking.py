"""Metrics of the ranking of scores: AUROC, average precision, and F1 at the best threshold."""

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import ArrayLike

from zsad.metrics.counts import ScoreCounts, Undefined, defined, from_above, tally_scores


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


def f1_max(scores: ArrayLike, labels: ArrayLike) -> float:
    """Highest harmonic mean of precision and recall over all thresholds, each distinct score being one; exact.

    The threshold is chosen on the labels themselves: an upper bound of what a threshold fixed beforehand reaches.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> f1_max([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8
    """
    return defined(f1_max_of(tally_scores(scores, labels)))


def f1_max_of(tally: ScoreCounts) -> float | Undefined:
    """F1-max of counted samples."""
    if missing := tally.missing("F1-max"):
        return missing
    return float(f1_max_of_counts(tally.normal[None], tally.anomalous[None])[0])


def f1_max_of_counts(
    normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]
) -> Float[np.ndarray, "draws"]:
    """F1-max of each draw, in all of which both states occur; values ascend."""
    found = from_above(anomalous)
    # Samples called anomalous plus samples that are; in place, for there may be a million thresholds.
    either = from_above(normal)
    either += found + found[:, -1:]
    best: np.ndarray = 2 * (found / either).max(1)
    return best
