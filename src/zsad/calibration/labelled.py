"""Thresholds from labelled images, exact over all candidates: every distinct score is one.

An image is called anomalous where its score is at least the threshold. Of thresholds that are equally good, the highest
is taken: it calls the fewest images anomalous. All of these fit the images they are chosen on; new images give less.
"""

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from zsad.calibration.conformal import Scores
from zsad.errors import ConfigError
from zsad.metrics.counts import ScoreCounts, count_scores, defined, from_above


def f1_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """Where F1 is highest.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> f1_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.35
    """
    counts = _of_both_states(scores, labels, "F1-max")
    called, found = from_above(counts.normal + counts.anomalous), from_above(counts.anomalous)
    return _highest_of_the_best(counts, 2 * found / (called + found[-1]))


def youden_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """Where Youden's index J = TPR - FPR is highest.

    Args and raises as :func:`f1_threshold`.

    >>> youden_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8
    """
    counts = _of_both_states(scores, labels, "Youden's index")
    false, true = from_above(counts.normal), from_above(counts.anomalous)
    return _highest_of_the_best(counts, true * false[-1] - false * true[-1])  # in whole numbers: ties are exact


def tpr_threshold(scores: Scores, rate: float) -> float:
    """The highest threshold that at least a share of anomalous images reaches.

    Args:
        scores: of anomalous images.
        rate: true-positive rate, in (0, 1].

    Raises:
        ConfigError: the rate is not in (0, 1].
        InputError: there is no score, or one is not finite.

    >>> tpr_threshold([0.2, 0.5, 0.6, 0.9], 0.75)
    0.5
    """
    exact = Fraction(str(float(rate))) if 0 < rate <= 1 else None
    if exact is None:
        raise ConfigError("a true-positive rate lies in (0, 1]", rate, "give a share such as 0.95")
    counts = count_scores(np.asarray(scores), np.ones(np.shape(scores), np.int64))
    reached = from_above(counts.anomalous)
    needed = ceil(exact * int(counts.anomalous.sum()))
    return float(counts.values[::-1][np.argmax(reached >= needed)])


def _of_both_states(scores: ArrayLike, labels: ArrayLike, criterion: str) -> ScoreCounts:
    counts = count_scores(scores, labels)
    if missing := counts.missing(criterion):
        defined(missing)
    return counts


def _highest_of_the_best(counts: ScoreCounts, quality: np.ndarray) -> float:
    """The score at the first maximum of what is listed from the highest score down."""
    return float(counts.values[::-1][np.argmax(quality)])
