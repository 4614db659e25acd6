"""Split conformal prediction: from scores of normal images to a threshold with a stated false-positive rate.

Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005; as conformal anomaly detection: Laxhammar,
Falkman, 2010. If a new normal image and the n calibration images are exchangeable, the rank of its score among all
n + 1 is uniform. Of ranks that equal scores share, it gets the one that calls it less anomalous, so that ties keep the
rate.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor, log, log1p

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from zsad.errors import ConfigError, InputError

Rate = float | Fraction
Scores = ArrayLike | Sequence[float]
"""Numbers in a list, a tuple or an array."""
STEPS = 60
"""Halvings in the search for a quantile: more than double precision can tell apart."""


def images_needed(rate: Rate) -> int:
    """The number of normal images without which no threshold has so low a false-positive rate: ceil(1 / rate) - 1.

    Raises:
        ConfigError: the rate is not between 0 and 1.

    >>> images_needed(0.05), images_needed(0.1), images_needed(0.01)
    (19, 9, 99)
    """
    return ceil(1 / _exact(rate)) - 1


def conformal_threshold(scores: Scores, rate: Rate) -> float:
    """The threshold that a normal image reaches with a probability of at most ``rate``.

    It is the smallest number above the k-th smallest score, k = ceil((n + 1) (1 - rate)): a score reaches it exactly
    where its :func:`p_values` is at most ``rate``.

    Args:
        scores: of n normal images that the detector was not fitted to.
        rate: false-positive rate, between 0 and 1.

    Raises:
        ConfigError: the rate is not between 0 and 1.
        InputError: there are fewer images than :func:`images_needed`, or a score is not a finite number.
    """
    ascending = checked_scores(scores)
    check_count(len(ascending), rate)
    return float(np.nextafter(ascending[_rank(len(ascending), rate) - 1], np.inf))


def check_count(count: int, rate: Rate) -> None:
    """Refuses fewer normal images than a rate needs.

    Raises:
        ConfigError: the rate is not between 0 and 1.
        InputError: there are fewer.
    """
    if count < images_needed(rate):
        rule = f"a false-positive rate of {float(rate):g} needs at least {images_needed(rate)} normal images"
        value = f"{count}; the lowest rate of so many is {1 / (count + 1):.3g}"
        raise InputError(rule, value, "add normal images, or allow a higher rate")


def p_values(scores: Scores, calibration: Scores) -> Float[np.ndarray, "*shape"]:
    """Share of the n calibration scores and the new one itself that are at least as high: (1 + #{c >= s}) / (n + 1).

    Args:
        scores: of new images.
        calibration: scores of normal images, at least one.

    >>> p_values([0.25, 0.5], [0.1, 0.2, 0.3, 0.4]).tolist()
    [0.6, 0.2]
    """
    ascending = checked_scores(calibration)
    below = np.searchsorted(ascending, np.asarray(scores, np.float64), side="left")
    ranks: Float[np.ndarray, "*shape"] = (1 + len(ascending) - below) / (len(ascending) + 1)
    return ranks


def rate_interval(count: int, rate: Rate, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true false-positive rates of thresholds from ``count`` images lie, for scores without ties.

    The guarantee is an average over calibrations. The rate of one of them follows Beta(l, n + 1 - l), l = floor(rate
    (n + 1)) (Vovk, "Conditional validity of inductive conformal predictors", 2012).

    Args:
        count: normal images of the calibration, at least :func:`images_needed`.
        rate: that was asked for.
        confidence: share of calibrations in the interval, the same share below as above it.
    """
    allowed = floor(_exact(rate) * (count + 1))
    tail = (1 - confidence) / 2
    return _beta_quantile(tail, allowed, count), _beta_quantile(1 - tail, allowed, count)


def checked_scores(scores: Scores) -> Float[np.ndarray, "_"]:
    """Scores in double precision, ascending.

    Raises:
        InputError: there is none, or one is not a finite number.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        found = f"{int((~np.isfinite(values)).sum())} of {values.size} that are not, of shape {values.shape}"
        raise InputError("calibration needs a list of finite scores, at least one", found, "add normal images")
    return np.sort(values)


def _rank(count: int, rate: Rate) -> int:
    """k = ceil((n + 1) (1 - rate)), counted from 1."""
    return count + 1 - floor(_exact(rate) * (count + 1))


def _exact(rate: Rate) -> Fraction:
    """The rate as it was written: in binary, 0.07 * 100 is above 7.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    exact = rate if isinstance(rate, Fraction) else Fraction(str(float(rate)))
    if not 0 < exact < 1:
        raise ConfigError("a rate lies between 0 and 1", rate, "give a share such as 0.05")
    return exact


def _beta_quantile(probability: float, successes: int, count: int) -> float:
    """Of Beta(successes, count + 1 - successes): where a binomial of ``count`` reaches ``successes`` that often."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _at_least(successes, count, middle) >= probability else (middle, high)
    return (low + high) / 2


def _at_least(successes: int, count: int, chance: float) -> float:
    """Probability that a binomial of ``count`` draws reaches ``successes``."""
    fewer = np.arange(1, successes)
    log_choices = np.concatenate([[0.0], np.cumsum(np.log((count - fewer + 1) / fewer))])
    numbers = np.arange(successes)
    logs = log_choices + numbers * log(chance) + (count - numbers) * log1p(-chance)
    return 1 - float(np.exp(logs).sum())
