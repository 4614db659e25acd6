"""Metrics of many draws of the same samples at once: counts are [draws, values], values ascending."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int, Real
from numpy.typing import ArrayLike

from zsad.errors import InputError
from zsad.metrics.auroc import auroc_of_counts
from zsad.metrics.average_precision import average_precision_of_counts
from zsad.metrics.checks import paired_scores
from zsad.metrics.f1_max import f1_max_of_counts

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
    values, truth = paired_scores(scores, labels)
    check_weights(weights, len(values))
    order = np.argsort(values)
    # Equal scores are one value, whose count is the sum of theirs.
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    found = []
    for block in blocks(weights, len(values)):
        counts = (np.add.reduceat(block[:, order] * state[order], starts, axis=1) for state in (~truth, truth))
        found.append(common_of_draws(*counts))
    return joined(found)


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
