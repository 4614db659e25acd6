"""How far a metric might be off for want of samples."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from zsad.errors import ConfigError, InputError
from zsad.metrics.checks import paired_scores
from zsad.metrics.score_counts import tally_scores
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
    """Percentile bootstrap interval of any metric; each class is resampled by itself, so that neither can vanish.

    The metrics of this room are had faster from ``image_draws`` and ``ImageCounts``, by the same draws.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.
        ConfigError: the confidence or the number of resamples is out of range.
    """
    values, truth = paired_scores(scores, labels)
    if missing := tally_scores(values, truth).missing("an interval"):
        defined(missing)
    weights = stratified_weights(truth, resamples, seed)
    return percentiles(np.array([metric(np.repeat(values, one), np.repeat(truth, one)) for one in weights]), confidence)


def stratified_weights(labels: ArrayLike, draws: int, seed: int | Sequence[int] = 0) -> Int[np.ndarray, "draws images"]:
    """How many copies of each image a draw takes: as many of each state as there are, with replacement.

    Args:
        labels: 0 (normal) or 1 (anomalous), one an image.
        draws: at least 1.
        seed: one number, or several, for instance of a run and of a class: equal seeds give equal draws.

    Raises:
        InputError: a label is neither 0 nor 1.
        ConfigError: there are no draws.

    >>> weights = stratified_weights([0, 0, 0, 1], draws=2)
    >>> weights[:, :3].sum(1).tolist(), weights[:, 3].tolist()
    ([3, 3], [1, 1])
    """
    if draws < 1:
        raise ConfigError("a bootstrap has at least one resample", draws, "say 1000")
    _, truth = paired_scores(np.zeros(np.shape(labels)), labels)
    rng = np.random.default_rng(seed)
    weights = np.zeros((draws, len(truth)), np.int64)
    for state in (False, True):
        if count := int((truth == state).sum()):
            weights[:, truth == state] = rng.multinomial(count, np.full(count, 1 / count), draws)
    return weights


def percentiles(values: Float[np.ndarray, "draws"], confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds so much of the draws, half of the rest on either side; NaN draws are left out.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
        InputError: no draw defines the metric.
    """
    if not 0 < confidence < 1:
        raise ConfigError("a confidence lies between 0 and 1", confidence, "say 0.95")
    known = values[~np.isnan(values)]
    if not len(known):
        raise InputError("an interval needs a draw that defines the metric", "none", "add the missing class")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
