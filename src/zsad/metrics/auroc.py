"""Area under the receiver operating characteristic."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from zsad.errors import InputError


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
    values, truth = _check(scores, labels)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Tied scores share the mean of the ranks that they take up together.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    anomalous = int(truth.sum())
    above = ranks[inverse][truth].sum() - anomalous * (anomalous + 1) / 2
    return float(above / (anomalous * (len(truth) - anomalous)))


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a metric; each class is resampled by itself, so that neither can vanish."""
    values, truth = _check(scores, labels)
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(~truth), np.flatnonzero(truth)]
    draws = []
    for _ in range(resamples):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in groups])
        draws.append(metric(values[chosen], truth[chosen]))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _check(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, truth = np.asarray(scores, np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != truth.shape:
        raise InputError("scores and labels are lists of one length", f"{values.shape} and {truth.shape}", "pair them")
    if not np.isfinite(values).all():
        raise InputError(
            "scores are finite", f"{int((~np.isfinite(values)).sum())} NaN or infinite", "drop or repair them"
        )
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels are 0 (normal) or 1 (anomalous)", sorted(set(truth.tolist())), "convert them")
    anomalous = int(truth.sum())
    if anomalous in (0, len(truth)):
        raise InputError(
            "AUROC needs normal and anomalous samples",
            f"{len(truth) - anomalous} and {anomalous}",
            "add the missing class",
        )
    return values, truth.astype(bool)
