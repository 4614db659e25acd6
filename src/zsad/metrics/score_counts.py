"""How many samples of each state have each score: all that any metric of this room needs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from zsad.metrics.checks import paired_scores
from zsad.metrics.undefined import Undefined


@dataclass(frozen=True)
class ScoreCounts:
    """Samples counted by score. Equal scores are one entry, so that ties cannot be told apart by their order.

    Attributes:
        values: the distinct scores, ascending.
        normal: normal samples with that score.
        anomalous: anomalous samples with that score.
        overlap: of pixels, the sum over all regions of the share of the region that has that score; of images, 0.
        regions: number of anomalous regions; of images, 0.
    """

    values: Float[np.ndarray, "values"]
    normal: Int[np.ndarray, "values"]
    anomalous: Int[np.ndarray, "values"]
    overlap: Float[np.ndarray, "values"]
    regions: int

    def missing(self, metric: str) -> Undefined | None:
        """Why a metric that needs both states does not exist, or None."""
        normal, anomalous = int(self.normal.sum()), int(self.anomalous.sum())
        if normal and anomalous:
            return None
        rule = f"{metric} needs normal and anomalous samples"
        return Undefined(rule, f"{normal} and {anomalous}", "add the missing class")


def metrics_of_counts(
    values: Float[np.ndarray, "samples"],
    anomalous: Float[np.ndarray, "anomalous"],
    shares: Float[np.ndarray, "anomalous"],
    regions: int,
) -> ScoreCounts:
    """Count by sorting; ``values`` are all scores, ``anomalous`` those of them that are, ``shares`` 1 / region area."""
    distinct, counts = np.unique(values, return_counts=True)
    at = np.searchsorted(distinct, anomalous)
    hits = np.bincount(at, minlength=len(distinct))
    # Without samples bincount counts in integers, weights or not.
    overlap = np.bincount(at, shares, len(distinct)).astype(np.float64)
    return ScoreCounts(distinct, counts - hits, hits, overlap, regions)


def tally_scores(scores: ArrayLike, labels: ArrayLike) -> ScoreCounts:
    """Count scores and labels in double precision, after checking them."""
    values, truth = paired_scores(scores, labels)
    return metrics_of_counts(values, values[truth], np.zeros(int(truth.sum())), 0)


def from_above(counts: np.ndarray) -> np.ndarray:
    """How many samples are at or above each value, the highest value first; values are along the last axis."""
    return np.cumsum(counts[..., ::-1], axis=-1)
