"""How far a metric might be off for want of samples."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Real
from numpy.typing import ArrayLike

from zsad.errors import ConfigError, InputError
from zsad.metrics.counts import count_scores, defined, paired_scores
from zsad.metrics.functional import auroc_of_counts, average_precision_of_counts, f1_max_of_counts


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
    values, is_anomalous = paired_scores(scores, labels)
    if missing := count_scores(values, is_anomalous).missing("an interval"):
        defined(missing)
    weights = stratified_weights(is_anomalous, resamples, seed)
    return percentiles(
        np.array([metric(np.repeat(values, counts), np.repeat(is_anomalous, counts)) for counts in weights]), confidence
    )


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
    _, is_anomalous = paired_scores(np.zeros(np.shape(labels)), labels)
    rng = np.random.default_rng(seed)
    weights = np.zeros((draws, len(is_anomalous)), np.int64)
    for state in (False, True):
        if count := int((is_anomalous == state).sum()):
            weights[:, is_anomalous == state] = rng.multinomial(count, np.full(count, 1 / count), draws)
    return weights


def percentiles(values: Float[np.ndarray, "draws"], confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds so much of the draws, half of the rest on either side; NaN draws are left out.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
        InputError: no draw defines the metric.
    """
    if not 0 < confidence < 1:
        raise ConfigError("a confidence lies between 0 and 1", confidence, "say 0.95")
    defined = values[~np.isnan(values)]
    if not len(defined):
        raise InputError("an interval needs a draw that defines the metric", "none", "add the missing class")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


Draws = dict[str, Float[np.ndarray, "draws"]]
"""The values of each metric, one a draw; NaN where a draw does not define it."""

COMMON: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "auroc": auroc_of_counts,
    "average_precision": average_precision_of_counts,
    "f1_max": f1_max_of_counts,
}
BLOCK = 2**20
"""Counts at once: some arrays of 8 MB."""


def image_draws(scores: ArrayLike, labels: ArrayLike, weights: Int[np.ndarray, "draws images"]) -> Draws:
    """AUROC, average precision and F1-max of images of which each draw takes so many copies; exact.

    Args:
        scores: finite numbers, one an image; higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous).
        weights: copies of each image in each draw.

    Raises:
        InputError: scores, labels and weights do not pair, or one is not what it should be.
    """
    values, is_anomalous = paired_scores(scores, labels)
    check_weights(weights, len(values))
    order = np.argsort(values)
    # Equal scores are one value, whose count is the sum of theirs.
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    parts = []
    for block in blocks(weights, len(values)):
        counts = (
            np.add.reduceat(block[:, order] * state[order], starts, axis=1) for state in (~is_anomalous, is_anomalous)
        )
        parts.append(common_of_draws(*counts))
    return joined(parts)


def common_of_draws(normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]) -> Draws:
    """AUROC, average precision and F1-max of each draw."""
    return {name: of_draws(metric, normal, anomalous) for name, metric in COMMON.items()}


def of_draws(
    metric: Callable[..., np.ndarray],
    normal: Real[np.ndarray, "draws values"],
    anomalous: Real[np.ndarray, "draws values"],
    *others: Real[np.ndarray, "draws ..."],
) -> Float[np.ndarray, "draws"]:
    """A metric of counts, called for the draws in which both states occur; NaN for the others."""
    defined = (normal.sum(1) > 0) & (anomalous.sum(1) > 0)
    values = np.full(len(normal), np.nan)
    if defined.any():
        values[defined] = metric(*(counts[defined] for counts in (normal, anomalous, *others)))
    return values


def blocks(weights: Int[np.ndarray, "draws images"], values: int) -> list[Int[np.ndarray, "some images"]]:
    """The draws in so many parts that counts of one part, for so many values each, are no burden."""
    return np.array_split(weights, max(1, -(-len(weights) * values // BLOCK)))


def joined(parts: list[dict[str, np.ndarray]]) -> Draws:
    """The draws of all parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_weights(weights: Int[np.ndarray, "draws images"], images: int) -> None:
    """One count an image, none below 0.

    Raises:
        InputError: it is otherwise.
    """
    if weights.shape[1] != images or weights.min(initial=0) < 0 or not images:
        raise InputError(
            f"a draw says how many copies it takes of each of {images} images, at least one of them",
            f"{weights.shape[1]} numbers from {weights.min(initial=0)}",
            "use stratified_weights",
        )
