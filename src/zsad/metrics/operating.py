"""Metrics at one operating point: the false positive rate at 95 % true positives, F1 of pixels at a given threshold."""

import numpy as np
from numpy.typing import ArrayLike

from zsad.config import check_within
from zsad.metrics.counts import Maps, ScoreCounts, Undefined, count_scores, defined, from_above, paired_maps

TWENTIETHS = 19
"""Of the anomalous samples, that are found."""


def fpr95(scores: ArrayLike, labels: ArrayLike) -> float:
    """Lowest share of normal samples above a threshold at which 95 % of the anomalous ones are found; exact.

    Lower is better. Every distinct score is a threshold, and samples at it are called anomalous; nothing is
    interpolated.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> fpr95([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.5
    """
    return defined(fpr95_of(count_scores(scores, labels)))


def fpr95_of(counts: ScoreCounts) -> float | Undefined:
    """The rate of counted samples."""
    if missing := counts.missing("FPR at 95 % TPR"):
        return missing
    found, false = from_above(counts.anomalous), from_above(counts.normal)
    first = int(np.argmax(20 * found >= TWENTIETHS * found[-1]))
    return float(false[first] / false[-1])


def seg_f1(maps: Maps, masks: Maps, threshold: float) -> float:
    """F1 of all pixels at a threshold that was chosen without them, as in MVTec AD 2 (SegF1).

    Heckler-Kram et al., "The MVTec AD 2 Dataset: Advanced Scenarios for Unsupervised Anomaly Detection", 2025.

    Args:
        maps: finite anomaly scores, [rows, cols], [images, rows, cols] or a list of [rows, cols] of any sizes.
        masks: 0 (normal) or 1 (anomalous), of the same sizes.
        threshold: from which a pixel is called anomalous.

    Raises:
        InputError: the sizes differ, a score is not finite, a mask is neither 0 nor 1, or no pixel is anomalous.

    >>> seg_f1([[0.9, 0.6, 0.1, 0.7]], [[1, 0, 0, 1]], 0.5)
    0.8
    """
    return defined(SegF1Metrics().update(maps, masks, threshold).compute()["seg_f1"])


class SegF1Metrics:
    """F1 of pixels at a threshold, gathered batch by batch: three counts.

    >>> SegF1Metrics().update([[0.9, 0.1]], [[1, 0]], 0.5).compute()
    {'seg_f1': 1.0}
    """

    def __init__(self) -> None:
        self._found = self._called = self._anomalous = 0

    def update(self, maps: Maps, masks: Maps, threshold: float) -> "SegF1Metrics":
        """Add the images of a batch and return self; a batch that is refused adds nothing. Args as :func:`seg_f1`."""
        check_within("a threshold of pixels", threshold, -1e38, 1e38)
        for scores, mask in paired_maps(maps, masks):
            called = scores.astype(np.float64) >= threshold
            self._found += int((called & (mask != 0)).sum())
            self._called += int(called.sum())
            self._anomalous += int((mask != 0).sum())
        return self

    def merge(self, other: "SegF1Metrics") -> "SegF1Metrics":
        """Add the images of another and return self."""
        self._found += other._found
        self._called += other._called
        self._anomalous += other._anomalous
        return self

    def compute(self) -> dict[str, float | Undefined]:
        """``seg_f1``, in [0, 1]; ``Undefined`` without anomalous pixels."""
        if not self._anomalous:
            return {"seg_f1": Undefined("SegF1 needs anomalous pixels", "none", "add anomalous images")}
        return {"seg_f1": 2 * self._found / (self._called + self._anomalous)}
